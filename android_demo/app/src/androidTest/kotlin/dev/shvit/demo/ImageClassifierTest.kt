package dev.shvit.demo

import androidx.test.ext.junit.runners.AndroidJUnit4
import androidx.test.platform.app.InstrumentationRegistry
import dev.shvit.AssetFiles
import dev.shvit.ImageClassifier
import dev.shvit.core.models.ModelStore
import dev.shvit.core.models.Stored
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith

/** Tests the facade on a phone or emulator, with the embedded models and the pictures of their goldens. */
@RunWith(AndroidJUnit4::class)
class ImageClassifierTest {
    private val app = InstrumentationRegistry.getInstrumentation().targetContext

    @Test
    fun theBestClassOfAGoldenIsTheExporters() {
        val files = AssetFiles(app.assets)
        val models = ModelStore(files).models().filterIsInstance<Stored.Usable>().map { it.model }
        assertTrue("no model is embedded", models.isNotEmpty())
        for (model in models) {
            val goldens = checkNotNull(model.goldens()) { "${model.stem} has no goldens" }.goldens
            val folder = "${model.stem}/${checkNotNull(model.manifest.goldens).name}"
            ImageClassifier.named(app, model.stem, engines = Library.ENGINES).use { classifier ->
                for (image in goldens.images) {
                    val encoded = files.open("$folder/${image.image}").use { it.readBytes() }
                    val expected = image.logits.indices.maxByOrNull { image.logits[it] }
                    val best = classifier.classify(encoded, count = 1).predictions.single()
                    assertEquals("${model.stem}: ${image.image}", expected, best.index)
                }
            }
        }
    }
}

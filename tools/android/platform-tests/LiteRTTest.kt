import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.LiteRtException
import dev.shvit.Analysis
import dev.shvit.AssetFiles
import dev.shvit.ExecuTorch
import dev.shvit.ImageClassifier
import dev.shvit.ImageDetector
import dev.shvit.ShvitModel
import dev.shvit.core.ShvitException.RuntimeFailure
import dev.shvit.core.ShvitException.UnsupportedDocument
import dev.shvit.core.images.Picture
import dev.shvit.core.models.ArtifactCache
import dev.shvit.core.models.Engines
import dev.shvit.core.models.Finding
import dev.shvit.core.models.ModelStore
import dev.shvit.litert.LiteRT
import java.util.function.Function
import kotlin.test.BeforeTest
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFails
import kotlin.test.assertFailsWith
import kotlin.test.assertNull
import kotlin.test.assertTrue

/** A model is loaded, run and closed as LiteRT needs it. */
class LiteRTTest : OnPhone() {
    private val engines = Engines(ExecuTorch, LiteRT)

    private fun picture(vararg colors: Int) =
        Picture(80, 80, IntArray(80 * 80) { colors[if (it / 80 < 40) it % 80 / 40 else 2 + it % 80 / 40] })

    private fun best(analysis: Analysis) = (analysis.finding as Finding.Classes).predictions

    private val quarters = picture(RED, GREEN, BLUE, YELLOW)

    @BeforeTest
    fun embed() = embedLiteRT()

    private fun loadLiteRT(threads: Int = 1): ShvitModel {
        val model = ModelStore(AssetFiles(context.assets)).model(liteRTStem)
        return ShvitModel.load(model, ArtifactCache(context.filesDir.resolve("models")), threads, engines)
    }

    @Test
    fun `the best classes come from the logits, in the picture's own order of values`() {
        CompiledModel.model = Function { FloatArray(10) { (it * 7 % 10).toFloat() } }
        val best = background {
            ImageClassifier.named(context, liteRTStem, threads = 3, engines = engines).use {
                it.classify(quarters, count = 2).predictions
            }
        }
        assertEquals(listOf("horse", "deer"), best.map { it.label })
        assertEquals(3, CompiledModel.usedThreads)
        assertShows(CompiledModel.input!!, RED, GREEN, BLUE, YELLOW)
    }

    @Test
    fun `every inference sees its own picture and gives its own logits`() {
        CompiledModel.model = Function { values -> FloatArray(10) { if (it == 4) values[0] else 100f } }
        background {
            loadLiteRT().use { classifier ->
                assertEquals("deer", best(classifier.analyze(quarters, count = 1)).single().label)
                assertShows(CompiledModel.input!!, RED, GREEN, BLUE, YELLOW)
                val seen = best(classifier.analyze(picture(BLUE, BLUE, BLUE, BLUE), count = 10))
                assertEquals("deer", seen.last().label)
                assertShows(CompiledModel.input!!, BLUE, BLUE, BLUE, BLUE)
            }
        }
    }

    @Test
    fun `the number of threads can be left to the runtime`() {
        background { loadLiteRT(threads = 0).use { it.analyze(quarters) } }
        assertNull(CompiledModel.usedThreads)
    }

    @Test
    fun `models of both runtimes are loaded together, each with its own threads`() {
        background {
            load(threads = 1).use { one ->
                loadLiteRT(threads = 2).use { other ->
                    loadLiteRT(threads = 4).use { third -> listOf(one, other, third).forEach { it.analyze(quarters) } }
                }
            }
        }
        assertModelSees(RED, GREEN, BLUE, YELLOW)
        assertEquals(4, CompiledModel.usedThreads)
    }

    @Test
    fun `the maps of a detector are those of its signature, in their order`() {
        val stem = embedDetector(liteRT = true)
        CompiledModel.outputs = 4
        CompiledModel.maps = Function { oneDog() }
        val seen = background {
            ImageDetector.named(context, stem, engines = engines).use { it.detect(Picture(64, 64, IntArray(64 * 64))) }
        }
        assertEquals(listOf("dog" to 24f), seen.objects.map { it.label to it.box.top })
    }

    @Test
    fun `a closed model does not run`() {
        background {
            val classifier = loadLiteRT()
            classifier.analyze(quarters)
            classifier.close()
            classifier.close()
            assertFails { classifier.analyze(quarters) }
        }
    }

    @Test
    fun `a model that does not load is freed and named`() {
        val faults = listOf<() -> Unit>(
            { CompiledModel.damaged = true },
            { CompiledModel.noMemory = true },
            { CompiledModel.inputs = 2 },
            { CompiledModel.outputs = 4 },
        )
        for (fault in faults) {
            CompiledModel.reset()
            fault()
            val reason = assertFailsWith<RuntimeFailure> { background { loadLiteRT() } }
            assertTrue("$liteRTStem.tflite cannot be loaded" in reason.what, reason.what)
            assertTrue("adb logcat -s litert" in reason.why, reason.why)
        }
    }

    @Test
    fun `what LiteRT throws names the model`() {
        CompiledModel.model = Function { throw LiteRtException("Failed to invoke the compiled model") }
        val reason = assertFailsWith<RuntimeFailure> { background { loadLiteRT().use { it.analyze(quarters) } } }
        assertTrue("$liteRTStem.tflite failed: Failed to invoke" in reason.what, reason.what)
    }

    @Test
    fun `without its library the error says which to link`() {
        val reason = assertFailsWith<UnsupportedDocument> {
            background { ImageClassifier.named(context, liteRTStem) }
        }
        assertEquals("$liteRTStem.tflite is for litert.", reason.what)
        assertTrue("dev.shvit:shvit-litert" in reason.hint, reason.hint)
    }
}

import android.graphics.Bitmap
import dev.shvit.ImageClassifier
import dev.shvit.core.ShvitException.ArtifactChanged
import dev.shvit.core.ShvitException.ModelNotEmbedded
import dev.shvit.core.ShvitException.RuntimeFailure
import dev.shvit.core.ShvitException.UndecodablePicture
import dev.shvit.core.models.sha256
import fakes.Misuse
import fakes.Phone
import java.util.concurrent.ConcurrentLinkedQueue
import kotlin.concurrent.thread
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue
import org.pytorch.executorch.Module

/** One class takes an app from an embedded model to the most likely classes. */
class FacadeTest : OnPhone() {
    private fun bitmap(color: Int, side: Int = 40): Bitmap =
        Bitmap.createBitmap(IntArray(side * side) { 0xFF shl 24 or color }, side, side, Bitmap.Config.ARGB_8888)

    private fun <R> use(task: (ImageClassifier) -> R): R =
        background { ImageClassifier.named(context, stem, threads = 1).use(task) }

    private fun copies(): List<String> =
        context.noBackupFilesDir.resolve("dev.shvit/models").list().orEmpty().toList()

    @Test
    fun `a bitmap and an encoded picture become the most likely classes`() {
        Module.model = java.util.function.Function { FloatArray(10) { (it * 7 % 10).toFloat() } }
        use { classifier ->
            val seen = classifier.classify(bitmap(GREEN), count = 2)
            assertModelSees(GREEN, GREEN, GREEN, GREEN)
            assertEquals(listOf("horse", "deer"), seen.predictions.map { it.label })
            assertTrue(seen.predictions[0].probability > seen.predictions[1].probability)
            assertEquals(5, classifier.classify(encode("jpg", 96, 64, turned(90), orientation = 6)).predictions.size)
            assertModelSees(RED, GREEN, BLUE, YELLOW)
        }
    }

    @Test
    fun `bitmaps of all sizes follow each other`() {
        use { classifier ->
            for ((color, side) in listOf(RED to 80, BLUE to 40, YELLOW to 160, GREEN to 40)) {
                classifier.classify(bitmap(color, side))
                assertModelSees(color, color, color, color)
            }
        }
    }

    @Test
    fun `several threads classify with one model`() {
        // A red picture's first value is large, a blue one's is small.
        Module.model = java.util.function.Function { FloatArray(10) { place -> if (place == 0) it[0] else 100f } }
        val wrong = ConcurrentLinkedQueue<String>()
        use { classifier ->
            val threads = listOf(RED, BLUE).map { color ->
                thread {
                    repeat(30) {
                        val best = classifier.classify(bitmap(color, side = 300), count = 1).predictions.single()
                        if ((best.index == 0) != (color == RED)) wrong += "$color is ${best.label}"
                    }
                }
            }
            threads.forEach(Thread::join)
        }
        assertEquals(emptyList(), wrong.toList())
    }

    @Test
    fun `the copy of a model that the app no longer contains is deleted`() {
        context.noBackupFilesDir.resolve("dev.shvit/models").mkdirs()
        context.noBackupFilesDir.resolve("dev.shvit/models/${"0".repeat(64)}").writeText("an old model")
        use { it.classify(bitmap(RED)) }
        assertEquals(listOf(sha256("a program".toByteArray())), copies())
    }

    @Test
    fun `each error is a case of its own`() {
        val missing = assertFailsWith<ModelNotEmbedded> { background { ImageClassifier.named(context, "shvit_s9") } }
        assertTrue(stem in missing.why)
        use { classifier -> assertFailsWith<UndecodablePicture> { classifier.classify(ByteArray(100)) } }
        Module.model = java.util.function.Function { FloatArray(10) { Float.NaN } }
        use { classifier -> assertFailsWith<RuntimeFailure> { classifier.classify(bitmap(RED)) } }
        context.noBackupFilesDir.deleteRecursively()
        Phone.assets.resolve("models/$stem/$stem.pte").writeText("another program")
        assertFailsWith<ArtifactChanged> { use { it.classify(bitmap(RED)) } }
        assertEquals(emptyList(), copies())
        assertFalse(Misuse.isAnyOpen(Module::class.java))
    }
}

import dev.shvit.ImageClassifier
import dev.shvit.ImageDetector
import dev.shvit.ShvitModel
import dev.shvit.core.ShvitException
import dev.shvit.core.ShvitException.RuntimeFailure
import dev.shvit.core.ShvitException.UnsupportedDocument
import dev.shvit.core.images.Orientation
import dev.shvit.core.images.Picture
import dev.shvit.core.images.Pixels
import dev.shvit.core.models.ArtifactCache
import dev.shvit.core.models.Finding
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import kotlin.concurrent.thread
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFails
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue
import org.pytorch.executorch.Module

/** A model is loaded, run and closed as ExecuTorch needs it. */
class ClassifierTest : OnPhone() {
    private val picture = Picture(80, 80, IntArray(80 * 80) { upright.at((it % 80 + 0.5) / 80, (it / 80 + 0.5) / 80) })

    @Test
    fun `the best classes come from the logits`() {
        Module.model = java.util.function.Function { FloatArray(10) { (it * 7 % 10).toFloat() } }
        val best = background { load(threads = 3).use { (it.analyze(picture, count = 2).finding as Finding.Classes).predictions } }
        assertEquals(listOf("horse", "deer"), best.map { it.label })
        assertEquals(3, Module.threads)
        assertModelSees(RED, GREEN, BLUE, YELLOW)
    }

    @Test
    fun `every inference sees its own picture`() {
        background {
            load().use { classifier ->
                classifier.analyze(picture)
                assertModelSees(RED, GREEN, BLUE, YELLOW)
                classifier.analyze(Picture(64, 64, IntArray(64 * 64) { BLUE }))
                assertModelSees(BLUE, BLUE, BLUE, BLUE)
                classifier.outputs(Pixels.ramp(SIDE, SIDE))
                assertEquals(Pixels.ramp(SIDE, SIDE)[1, 2, 1].toFloat(), Module.input.dataAsFloatArray[SIDE * SIDE + SIDE + 2])
            }
        }
    }

    @Test
    fun `a detector finds boxes in pixels of the upright picture`() {
        val stem = embedDetector()
        Module.maps = java.util.function.Function { oneDog().toTypedArray() }
        val seen = background {
            val lying = Picture(120, 80, IntArray(120 * 80))
            ImageDetector.named(context, stem, threads = 1).use { it.detect(lying, Orientation.QUARTER) }
        }
        val (label, box) = seen.objects.single()
        assertEquals("dog", label)
        // The upright picture is 80 wide and 120 high; its middle, 80 high, is the input of 64.
        assertEquals(listOf(10f, 50f, 50f, 90f), listOf(box.left, box.top, box.right, box.bottom))
        assertFailsWith<UnsupportedDocument> { background { ImageClassifier.named(context, stem) } }
    }

    @Test
    fun `a classifier is no detector`() {
        val reason = assertFailsWith<UnsupportedDocument> { background { ImageDetector.named(context, stem) } }
        assertTrue("ImageClassifier" in reason.hint)
    }

    @Test
    fun `a program with another number of outputs than its manifest is an error`() {
        // The first output is what the manifest says.
        Module.maps = java.util.function.Function { Array(2) { FloatArray(10) } }
        val reason = assertFailsWith<RuntimeFailure> { background { load().use { it.analyze(picture) } } }
        assertTrue("it returned 2 outputs, not 1" in reason.what, reason.what)
    }

    @Test
    fun `a closed model does not run`() {
        background {
            val classifier = load()
            classifier.analyze(picture)
            classifier.close()
            classifier.close()
            assertFails { classifier.analyze(picture) }
            assertFails { classifier.outputs(Pixels.ramp(SIDE, SIDE)) }
        }
    }

    @Test
    fun `closing waits for a running inference`() {
        val running = CountDownLatch(1)
        Module.model = java.util.function.Function {
            running.countDown()
            Thread.sleep(100)
            FloatArray(10)
        }
        background {
            val classifier = load()
            val inference = thread { classifier.analyze(picture) }
            assertTrue(running.await(5, TimeUnit.SECONDS))
            classifier.close()
            inference.join()
        }
    }

    @Test
    fun `inferences wait for each other`() {
        Module.model = java.util.function.Function {
            Thread.sleep(20)
            FloatArray(10)
        }
        background {
            load().use { classifier -> List(3) { thread { classifier.analyze(picture) } }.forEach(Thread::join) }
        }
        assertEquals(3, Module.RUNS.get())
    }

    @Test
    fun `a model that does not load is freed, and the next one may use other threads`() {
        Module.damaged = true
        assertFailsWith<ShvitException> { background { load(threads = 2) } }
        Module.damaged = false
        background { load(threads = 4).use { it.analyze(picture) } }
    }

    @Test
    fun `what ExecuTorch throws names the model`() {
        Module.model = java.util.function.Function { throw IllegalStateException("out of memory") }
        val reason = assertFailsWith<ShvitException> { background { load().use { it.analyze(picture) } } }
        assertTrue(stem in reason.message.orEmpty(), reason.message)
    }

    @Test
    fun `models with different numbers of threads are not loaded together`() {
        background {
            load(threads = 1).use {
                assertFailsWith<ShvitException> { load(threads = 2) }
            }
            val cache = ArtifactCache(context.filesDir.resolve("models"))
            ShvitModel.load(model(), cache, threads = 2).close()
        }
    }
}

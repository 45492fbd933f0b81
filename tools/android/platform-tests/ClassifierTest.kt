import dev.shvit.ShvitClassifier
import dev.shvit.core.ShvitException
import dev.shvit.core.images.Picture
import dev.shvit.core.images.Pixels
import dev.shvit.core.models.ArtifactCache
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
        val best = background { load(threads = 3).use { it.classify(picture, count = 2).predictions } }
        assertEquals(listOf("horse", "deer"), best.map { it.label })
        assertEquals(3, Module.threads)
        assertModelSees(RED, GREEN, BLUE, YELLOW)
    }

    @Test
    fun `every inference sees its own picture`() {
        background {
            load().use { classifier ->
                classifier.classify(picture)
                assertModelSees(RED, GREEN, BLUE, YELLOW)
                classifier.classify(Picture(64, 64, IntArray(64 * 64) { BLUE }))
                assertModelSees(BLUE, BLUE, BLUE, BLUE)
                classifier.logits(Pixels.ramp(SIDE, SIDE))
                assertEquals(Pixels.ramp(SIDE, SIDE)[1, 2, 1].toFloat(), Module.input.dataAsFloatArray[SIDE * SIDE + SIDE + 2])
            }
        }
    }

    @Test
    fun `a closed model does not run`() {
        background {
            val classifier = load()
            classifier.classify(picture)
            classifier.close()
            classifier.close()
            assertFails { classifier.classify(picture) }
            assertFails { classifier.logits(Pixels.ramp(SIDE, SIDE)) }
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
            val inference = thread { classifier.classify(picture) }
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
            load().use { classifier -> List(3) { thread { classifier.classify(picture) } }.forEach(Thread::join) }
        }
        assertEquals(3, Module.RUNS.get())
    }

    @Test
    fun `a model that does not load is freed, and the next one may use other threads`() {
        Module.damaged = true
        assertFailsWith<ShvitException> { background { load(threads = 2) } }
        Module.damaged = false
        background { load(threads = 4).use { it.classify(picture) } }
    }

    @Test
    fun `what ExecuTorch throws names the model`() {
        Module.model = java.util.function.Function { throw IllegalStateException("out of memory") }
        val reason = assertFailsWith<ShvitException> { background { load().use { it.classify(picture) } } }
        assertTrue(stem in reason.message.orEmpty(), reason.message)
    }

    @Test
    fun `models with different numbers of threads are not loaded together`() {
        background {
            load(threads = 1).use {
                assertFailsWith<ShvitException> { load(threads = 2) }
            }
            val cache = ArtifactCache(context.filesDir.resolve("models"))
            ShvitClassifier.load(model(), cache, threads = 2).close()
        }
    }
}

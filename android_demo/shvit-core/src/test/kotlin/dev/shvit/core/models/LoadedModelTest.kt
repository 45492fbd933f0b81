package dev.shvit.core.models

import java.util.concurrent.CountDownLatch
import kotlin.concurrent.thread
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class LoadedModelTest {
    private val log = ArrayList<String>()
    private val loaded = LoadedModel<AutoCloseable>()

    private fun use(name: String) = loaded.use(name, { load(name) }) { log += "run $name" }

    private fun load(name: String): AutoCloseable {
        log += "load $name"
        return AutoCloseable { log += "close $name" }
    }

    @Test
    fun `a model is loaded once, until another one is used`() {
        use("a")
        use("a")
        use("b")
        assertEquals(listOf("load a", "run a", "run a", "close a", "load b", "run b"), log)
    }

    @Test
    fun `nothing is loaded while a task runs alone`() {
        use("a")
        loaded.alone { log += "alone" }
        use("a")
        assertEquals(listOf("load a", "run a", "close a", "alone", "load a", "run a"), log)
    }

    @Test
    fun `a model that failed to load is loaded again, and a failed task keeps it`() {
        assertFailsWith<IllegalStateException> { loaded.use("a", { error("no memory") }) { } }
        use("a")
        assertFailsWith<IllegalStateException> { loaded.use("a", { load("a") }) { error("a bad frame") } }
        use("a")
        assertEquals(listOf("load a", "run a", "run a"), log)
    }

    @Test
    fun `low memory closes an idle model, but not one in use`() {
        use("a")
        val (inside, told) = CountDownLatch(1) to CountDownLatch(1)
        val user = thread {
            loaded.use("a", { load("a") }) {
                inside.countDown()
                told.await()
            }
        }
        inside.await()
        loaded.dropIfIdle()
        assertEquals(listOf("load a", "run a"), log)
        told.countDown()
        user.join()
        loaded.dropIfIdle()
        assertEquals("close a", log.last())
    }
}

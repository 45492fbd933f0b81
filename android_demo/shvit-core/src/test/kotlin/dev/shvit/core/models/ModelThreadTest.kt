package dev.shvit.core.models

import java.util.concurrent.CountDownLatch
import java.util.concurrent.ExecutionException
import java.util.concurrent.Future
import java.util.concurrent.RejectedExecutionException
import java.util.concurrent.TimeUnit
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotNull
import kotlin.test.assertNull

class ModelThreadTest {
    /** Returns the result, or fails after 10 seconds. */
    private fun <T> Future<T>.soon(): T = get(10, TimeUnit.SECONDS)

    @Test
    fun `tasks run on one thread, in order`() = ModelThread("one").use { thread ->
        val log = ArrayList<Int>()
        val names = (1..20).map { number -> thread.submit { Thread.currentThread().name.also { log += number } } }
        assertEquals(setOf("one"), names.map { it.soon() }.toSet())
        assertEquals((1..20).toList(), log)
    }

    @Test
    fun `a frame is dropped while another one waits or runs, but not after a failure`() = ModelThread().use { thread ->
        val gate = CountDownLatch(1)
        thread.submit { gate.await() }
        val first = assertNotNull(thread.submitIfIdle<Int> { error("a bad frame") })
        assertNull(thread.submitIfIdle { 2 })
        gate.countDown()
        assertEquals("a bad frame", assertFailsWith<ExecutionException> { first.soon() }.cause?.message)
        thread.submit { }.soon()
        assertEquals(3, assertNotNull(thread.submitIfIdle { 3 }).soon())
    }

    @Test
    fun `closing runs submitted tasks and rejects new ones`() {
        val gate = CountDownLatch(1)
        val thread = ModelThread()
        thread.submit { gate.await() }
        val last = thread.submit { "done" }
        thread.close()
        assertFailsWith<RejectedExecutionException> { thread.submit { } }
        assertFailsWith<RejectedExecutionException> { thread.submitIfIdle { } }
        gate.countDown()
        assertEquals("done", last.soon())
    }
}

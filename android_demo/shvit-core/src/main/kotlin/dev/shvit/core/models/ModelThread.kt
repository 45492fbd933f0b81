package dev.shvit.core.models

import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors
import java.util.concurrent.Future
import java.util.concurrent.atomic.AtomicBoolean

/**
 * The one thread on which an app loads, runs and closes its models: off the main thread, and never two at a time.
 *
 * @param name of the thread, as debuggers show it.
 */
class ModelThread(name: String = "shvit") : AutoCloseable {
    private val executor: ExecutorService = Executors.newSingleThreadExecutor { Thread(it, name) }
    private val busy = AtomicBoolean()

    /** Does something after all that was submitted before; what it throws, `get` of the future throws. */
    fun <T> submit(task: () -> T): Future<T> = executor.submit(task)

    /** Does something unless something else of this kind is waiting or under way: a camera's frame, of which some drop. */
    fun <T> submitIfIdle(task: () -> T): Future<T>? {
        if (!busy.compareAndSet(false, true)) return null
        return executor.submit<T> {
            try {
                task()
            } finally {
                busy.set(false)
            }
        }
    }

    /** Ends the thread when all that was submitted is done; nothing can be submitted from now on. Does not wait. */
    override fun close() = executor.shutdown()
}

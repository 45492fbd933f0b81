package dev.shvit.core.models

import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors
import java.util.concurrent.Future
import java.util.concurrent.atomic.AtomicBoolean

/**
 * The thread on which an app loads, runs and closes its models: off the main thread, and never two at a time.
 *
 * @param name The thread's name in debuggers.
 */
class ModelThread(name: String = "shvit") : AutoCloseable {
    private val executor: ExecutorService = Executors.newSingleThreadExecutor { Thread(it, name) }
    private val busy = AtomicBoolean()

    /** Runs a task after all submitted ones. The future's `get` throws what the task throws. */
    fun <T> submit(task: () -> T): Future<T> = executor.submit(task)

    /** Runs a task, such as classifying a camera frame; returns null if another such task waits or runs. */
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

    /** Ends the thread when all submitted tasks are done. Rejects new tasks and does not wait. */
    override fun close() = executor.shutdown()
}

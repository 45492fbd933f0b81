package dev.shvit.core.models

import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.withLock

/**
 * The one model that an app keeps loaded for its screens, so that a rotation, a pause or the next photo does not load it
 * again. Thread-safe; uses wait for each other in order.
 *
 * Whoever loads models of their own, such as a benchmark, does so in [alone].
 */
class LoadedModel<M : AutoCloseable> {
    private val lock = ReentrantLock(true)
    private var sha256: String? = null
    private var model: M? = null

    /**
     * Runs a task with the model.
     *
     * @param sha256 The artifact's SHA-256: the model is loaded if another one was used before.
     * @param load Loads the model, after the one before has been closed.
     */
    fun <R> use(sha256: String, load: () -> M, task: (M) -> R): R = lock.withLock {
        if (this.sha256 != sha256) drop()
        val model = this.model ?: load().also { this.model = it }
        this.sha256 = sha256
        task(model)
    }

    /** Runs a task while no model is loaded. */
    fun <R> alone(task: () -> R): R = lock.withLock {
        drop()
        task()
    }

    /** Closes the model if nothing uses it, for instance when memory is low. Does not wait. */
    fun dropIfIdle() {
        if (!lock.tryLock()) return
        try {
            drop()
        } finally {
            lock.unlock()
        }
    }

    private fun drop() {
        val model = model
        this.model = null
        sha256 = null
        model?.close()
    }
}

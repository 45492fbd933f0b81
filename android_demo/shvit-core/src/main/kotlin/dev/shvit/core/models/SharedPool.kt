package dev.shvit.core.models

import dev.shvit.core.ShvitException.InvalidSettings

/**
 * The thread pool that all loaded models of a process share.
 *
 * ExecuTorch creates a new pool when a model asks for another number of threads, and destroys the old one while loaded
 * models still use it, which crashes the process. So all models that are loaded at the same time must use the same
 * number.
 */
class SharedPool {
    private var threads = 0
    private var users = 0

    /**
     * Registers a model.
     *
     * @return A handle to close when the model is closed.
     * @throws InvalidSettings If models with another number of threads are loaded.
     */
    @Synchronized
    fun enter(threads: Int): AutoCloseable {
        if (users > 0 && threads != this.threads) {
            throw InvalidSettings(
                "A model with $threads threads cannot be loaded while one with ${this.threads} is.",
                "ExecuTorch has one thread pool for all models of a process.",
                "Close the other models first.",
            )
        }
        this.threads = threads
        users++
        return AutoCloseable { leave() }
    }

    @Synchronized
    private fun leave() {
        users--
    }
}

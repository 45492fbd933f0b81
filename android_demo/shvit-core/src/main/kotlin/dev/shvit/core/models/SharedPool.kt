package dev.shvit.core.models

import dev.shvit.core.WrongSettings

/**
 * The one pool of threads that all loaded models of a process share.
 *
 * ExecuTorch makes a new pool when a model asks for another number of threads, and destroys the old one, which models
 * that are loaded already go on using: the process crashes. So all models that are loaded at a time have to agree.
 */
class SharedPool {
    private var threads = 0
    private var users = 0

    /**
     * Enters a model.
     *
     * @return to be closed when the model is gone.
     * @throws WrongSettings models with another number of threads are loaded.
     */
    @Synchronized
    fun enter(threads: Int): AutoCloseable {
        if (users > 0 && threads != this.threads) {
            throw WrongSettings(
                "A model on $threads threads cannot be loaded beside one on ${this.threads}.",
                "ExecuTorch has one pool of threads for all models of a process.",
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

package dev.shvit.demo

import android.app.Activity
import android.os.Handler
import android.os.Looper
import android.util.Log
import dev.shvit.core.ShvitException
import dev.shvit.core.ShvitException.Cancelled
import kotlin.concurrent.thread

/**
 * A long task on its own thread that survives the rotation of its screen: see [WorkActivity].
 *
 * @param first The initial state. States are delivered on the main thread.
 */
internal abstract class Work<S>(first: S) {
    private val main = Handler(Looper.getMainLooper())
    private var state = first
    private var watcher: ((S) -> Unit)? = null

    @Volatile
    var cancelled = false
        private set

    /** Does the work and returns the last state. */
    protected abstract fun run(): S

    /** Returns the last state after a failure or cancellation. */
    protected abstract fun failed(reason: Throwable): S

    fun start() {
        thread(name = javaClass.simpleName) { tell(lastState()) }
    }

    fun cancel() {
        cancelled = true
    }

    /** Delivers the current state and every later one to a watcher, until [forget]. */
    fun watch(watcher: (S) -> Unit) {
        this.watcher = watcher
        watcher(state)
    }

    fun forget() {
        watcher = null
    }

    /** Publishes a state, from any thread. */
    protected fun tell(state: S) {
        main.post {
            this.state = state
            watcher?.invoke(state)
        }
    }

    /** A runtime also throws errors, such as a missing native library, or too little memory. */
    private fun lastState(): S = try {
        run()
    } catch (reason: Throwable) {
        if (reason !is Cancelled) log(reason)
        failed(reason)
    }
}

/** Computes a value off the main thread and shows it, unless the screen is gone by then. */
internal fun <T> Activity.read(what: () -> T, show: (T) -> Unit) {
    thread(name = "reading") {
        val found = what()
        runOnUiThread { if (!isDestroyed) show(found) }
    }
}

/** The tag for `adb logcat -s shvit`. */
internal const val LOG = "shvit"

/** Logs a failure: errors that a person can fix as text, others with their stack trace. */
internal fun log(reason: Throwable) {
    if (reason.isExplained) Log.e(LOG, reason.message.orEmpty()) else Log.e(LOG, "unexpected", reason)
}

package dev.shvit.demo

import android.app.Activity
import android.os.Handler
import android.os.Looper
import android.util.Log
import dev.shvit.core.ShvitException
import java.util.concurrent.CancellationException
import java.util.concurrent.Semaphore
import kotlin.concurrent.thread

/**
 * Something long that runs on a thread of its own and outlives the rotation of the screen that shows it: see
 * [WorkActivity].
 *
 * @param first the state before anything is told; states are told on the main thread.
 */
internal abstract class Work<S>(first: S) {
    private val main = Handler(Looper.getMainLooper())
    private var state = first
    private var watcher: ((S) -> Unit)? = null

    @Volatile
    var cancelled = false
        private set

    /** Does the work on its own thread and gives the last state. */
    protected abstract fun run(): S

    /** The last state of work that could not end, or that was cancelled. */
    protected abstract fun failed(reason: Throwable): S

    fun start() {
        thread(name = javaClass.simpleName) { tell(inTurn(::lastState)) }
    }

    fun cancel() {
        cancelled = true
    }

    /** Shows the state there is, and every later one, until [forget]. */
    fun watch(watcher: (S) -> Unit) {
        this.watcher = watcher
        watcher(state)
    }

    fun forget() {
        watcher = null
    }

    /** Tells a state, from any thread. */
    protected fun tell(state: S) {
        main.post {
            this.state = state
            watcher?.invoke(state)
        }
    }

    /** A runtime throws errors, too: it lacks its native library, or memory. */
    private fun lastState(): S = try {
        run()
    } catch (reason: Throwable) {
        if (reason !is CancellationException) log(reason)
        failed(reason)
    }
}

/** Reads something off the main thread, and shows it unless the screen is gone by then. */
internal fun <T> Activity.read(what: () -> T, show: (T) -> Unit) {
    thread(name = "reading") {
        val found = what()
        runOnUiThread { if (!isDestroyed) show(found) }
    }
}

/**
 * Held by whoever has models loaded: those that are loaded at a time have to agree on their threads, and would disturb
 * a measurement.
 */
internal val turn = Semaphore(1, true)

private fun <T> inTurn(block: () -> T): T {
    turn.acquire()
    return try {
        block()
    } finally {
        turn.release()
    }
}

/** What `adb logcat -s shvit` shows. */
internal const val LOG = "shvit"

/** Tells the log why something failed: what a person can mend in its words, all else with its trace. */
internal fun log(reason: Throwable) {
    if (reason is ShvitException) Log.e(LOG, reason.message.orEmpty()) else Log.e(LOG, "unexpected", reason)
}

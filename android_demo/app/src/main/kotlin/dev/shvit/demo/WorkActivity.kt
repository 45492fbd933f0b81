package dev.shvit.demo

import android.app.Activity
import android.os.Bundle

/**
 * A screen whose work survives rotation: it passes the work to its successor, and cancels it when the screen is left.
 */
internal abstract class WorkActivity : Activity() {
    protected var work: Work<*>? = null
        private set

    // Deprecated in favor of fragments, which are deprecated themselves by now; it still works.
    @Suppress("DEPRECATION")
    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        work = lastNonConfigurationInstance as? Work<*>
    }

    @Suppress("OVERRIDE_DEPRECATION")
    override fun onRetainNonConfigurationInstance(): Any? = work

    override fun onDestroy() {
        work?.forget()
        if (isFinishing) work?.cancel()
        super.onDestroy()
    }

    /** Starts work and shows its states. The work before is cancelled, and its states are no longer shown. */
    protected fun <S> begin(work: Work<S>, show: (S) -> Unit) {
        this.work?.forget()
        this.work?.cancel()
        this.work = work
        work.start()
        work.watch(show)
    }
}

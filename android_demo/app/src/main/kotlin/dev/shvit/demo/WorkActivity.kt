package dev.shvit.demo

import android.app.Activity
import android.os.Bundle

/** A screen whose work goes on while it is turned: it hands it to its successor, and cancels it when it is left. */
internal abstract class WorkActivity : Activity() {
    protected var work: Work<*>? = null
        private set

    // Once deprecated in favour of fragments, which are themselves by now; this never ceased to work.
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

    /** Starts new work and shows its states. */
    protected fun <S> begin(work: Work<S>, show: (S) -> Unit) {
        this.work?.forget()
        this.work = work
        work.start()
        work.watch(show)
    }
}

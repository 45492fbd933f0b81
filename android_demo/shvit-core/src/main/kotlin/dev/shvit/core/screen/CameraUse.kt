package dev.shvit.core.screen

/**
 * The use of a camera from start to stop: it is opened once at most, and closed once for each time it was opened,
 * whatever happens while it opens. All calls come from one thread.
 *
 * @param release Closes a camera.
 */
class CameraUse<C : Any>(private val release: (C) -> Unit) {
    private enum class State { IDLE, OPENING, OPEN, ENDED }

    private var state = State.IDLE
    private var camera: C? = null

    /** How often a camera was opened. */
    var opens = 0
        private set

    /** How often a camera was closed. */
    var closes = 0
        private set

    /** Whether frames are wanted and a camera is there. */
    val running: Boolean get() = state == State.OPEN

    /** Returns whether a camera is to be requested now: only the first time, and not after [stop]. */
    fun begin(): Boolean {
        if (state != State.IDLE) return false
        state = State.OPENING
        return true
    }

    /** Takes the opened camera. Returns whether it is to be used; otherwise it has been closed. */
    fun opened(camera: C): Boolean {
        opens++
        this.camera = camera
        if (state == State.OPENING) state = State.OPEN else close()
        return running
    }

    /** Ends the use after the camera was lost. Returns whether a person is to be told: not after [stop]. */
    fun lost(camera: C): Boolean {
        // Android delivers an error of a camera that never opened with the camera, which is to be closed, too.
        if (opens == 0) {
            opens++
            this.camera = camera
        }
        return end()
    }

    /** Ends the use; the camera is closed now, or as soon as it opens. */
    fun stop() {
        end()
    }

    private fun end(): Boolean {
        val told = state != State.ENDED
        state = State.ENDED
        close()
        return told
    }

    private fun close() {
        val camera = camera ?: return
        this.camera = null
        closes++
        release(camera)
    }
}

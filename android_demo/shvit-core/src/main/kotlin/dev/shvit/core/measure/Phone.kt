package dev.shvit.core.measure

import dev.shvit.core.documents.ThermalState

/** A clock that never goes back; on a phone `SystemClock.elapsedRealtimeNanos`. */
fun interface Clock {
    fun nanoseconds(): Long
}

/**
 * How hot a phone is.
 *
 * @property headroom Android's forecast: 1 is where it begins to throttle severely; null where there is none.
 */
data class Heat(val state: ThermalState, val headroom: Double? = null)

/** What a phone tells of itself; null where it does not. */
interface Phone {
    /** Whether a power-saving mode is on. */
    fun lowPower(): Boolean?

    /** The charge, 0 to 1. */
    fun battery(): Double?

    /** Whether it is plugged in. */
    fun charging(): Boolean?

    fun heat(): Heat?

    /** The memory of this process. */
    fun memoryBytes(): Long?
}

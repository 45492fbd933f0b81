package dev.shvit.core.measure

import dev.shvit.core.documents.ThermalState

/** A monotonic clock; on a phone `SystemClock.elapsedRealtimeNanos`. */
fun interface Clock {
    /** Returns the time since any fixed moment. */
    fun nanoseconds(): Long
}

/** Waits for some milliseconds; on a phone `Thread.sleep`. */
fun interface Sleep {
    /** Waits for `count` milliseconds. */
    fun milliseconds(count: Long)
}

/**
 * A phone's thermal state.
 *
 * @property headroom Android's thermal headroom: severe throttling begins at 1; null if unknown.
 */
data class ThermalReading(val state: ThermalState, val headroom: Double? = null)

/** Reads a phone's conditions; null if unknown. */
interface Phone {
    /** Whether a power-saving mode is on. */
    fun lowPower(): Boolean?

    /** The battery charge, from 0 to 1. */
    fun battery(): Double?

    /** Whether the phone is plugged in. */
    fun charging(): Boolean?

    /** The thermal state. */
    fun thermal(): ThermalReading?

    /** Whether Android's sustained performance mode is on, which holds clocks at a level that lasts. */
    fun sustainedPerformance(): Boolean? = null

    /** The memory of this process, in bytes. */
    fun memoryBytes(): Long?
}

package dev.shvit.core.measure

/** A stage of a frame, in the order of time. Device reports have the same names. */
enum class Stage {
    /** From the picture in memory to the values of the tensor. */
    PREPROCESSING,

    /** From the values to the runtime's own input. */
    TENSOR,

    /** The call of the runtime alone. */
    INFERENCE,

    /** From the runtime's outputs to the labels with their probabilities, or to boxes. */
    DECODING,
}

/**
 * Adds up how long each stage of a frame takes, without creating objects.
 *
 * Use it from one thread.
 */
class StageTimer(val clock: Clock) {
    @PublishedApi
    internal val nanoseconds: LongArray = LongArray(Stage.entries.size)

    /** Runs a block and adds its duration to a stage. */
    inline fun <T> time(stage: Stage, block: () -> T): T {
        val start = clock.nanoseconds()
        val value = block()
        nanoseconds[stage.ordinal] += clock.nanoseconds() - start
        return value
    }

    /** Returns the duration of a stage since the last [reset], in milliseconds. */
    fun milliseconds(stage: Stage): Double = nanoseconds[stage.ordinal] / NANOSECONDS

    /** Sets all durations to zero. */
    fun reset() = nanoseconds.fill(0)

    private companion object {
        const val NANOSECONDS = 1e6
    }
}

/** Runs a block, and adds its duration to a stage if there is a timer. */
inline fun <T> StageTimer?.measure(stage: Stage, block: () -> T): T = if (this == null) block() else time(stage, block)

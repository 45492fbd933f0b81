package dev.shvit.core.measure

import dev.shvit.core.ShvitException.InvalidSettings

/** The length of a warm-up, or of a contestant's turn in a round. */
sealed interface Turn {
    /** A number of inferences. */
    data class Iterations(val count: Int) : Turn

    /** A duration in seconds. Every inference that begins within it counts. */
    data class Seconds(val seconds: Double) : Turn
}

/**
 * The settings of a benchmark.
 *
 * Rounds interleave the contestants with the same number of threads, so that throttling slows all of them. A turn
 * consists of its warm-up, of inferences that follow each other, and of whole frames. After the rounds, each contestant
 * has its sustained run, if there is one.
 *
 * Turns last a time and not a number of inferences: 20 inferences of a fast model end while the processor's clock still
 * rises.
 *
 * @property warmUp The warm-up at the start of each turn.
 * @property turn The measured inferences of each turn.
 * @property leastIterations The least number of inferences of a turn that is a duration.
 * @property rounds The number of rounds. With fewer than 7, `shvit-mobile devices` cannot compute the interval of a
 *   slowdown.
 * @property framesSeconds The duration of the whole frames after each turn; there are at least three.
 * @property sustainedSeconds The length of each sustained run after the rounds; 0 for none.
 * @property windowSeconds The length of a sustained run's windows.
 * @property coolingSeconds How long the run waits for the phone to cool before it starts.
 * @property allowLowPower Whether to measure although a power-saving mode is on.
 * @property allowHeat Whether to start although the phone is warm; it does not wait then.
 * @throws InvalidSettings If a number is out of range.
 */
data class Protocol(
    val warmUp: Turn = Turn.Seconds(0.5),
    val turn: Turn = Turn.Seconds(1.0),
    val leastIterations: Int = 10,
    val rounds: Int = 12,
    val framesSeconds: Double = 0.25,
    val sustainedSeconds: Double = 0.0,
    val windowSeconds: Double = 10.0,
    val coolingSeconds: Double = 120.0,
    val allowLowPower: Boolean = false,
    val allowHeat: Boolean = false,
) {
    init {
        if (length(warmUp) < 0 || !length(warmUp).isFinite() || rounds < 1 || leastIterations < 1 || !isPositive(length(turn))) {
            throw InvalidSettings(
                "A warm-up of ${length(warmUp)}, $rounds rounds and a turn of ${length(turn)} cannot be run.",
                "The warm-up must be at least 0; rounds and the length of a turn must be above 0.",
            )
        }
        if (!isPositive(framesSeconds) || !(coolingSeconds >= 0 && coolingSeconds.isFinite())) {
            throw InvalidSettings(
                "Frames for $framesSeconds s and a wait of $coolingSeconds s cannot be run.",
                "The frames must take longer than 0 s, and the wait at least 0 s.",
            )
        }
        if (!(sustainedSeconds >= 0 && sustainedSeconds.isFinite() && isPositive(windowSeconds))) {
            throw InvalidSettings(
                "A sustained run of $sustainedSeconds s in windows of $windowSeconds s cannot be run.",
                "The run must be at least 0 s long, and a window longer than 0 s.",
            )
        }
    }

    private fun length(turn: Turn): Double = when (turn) {
        is Turn.Iterations -> turn.count.toDouble()
        is Turn.Seconds -> turn.seconds
    }

    private fun isPositive(value: Double) = value > 0 && value.isFinite()
}

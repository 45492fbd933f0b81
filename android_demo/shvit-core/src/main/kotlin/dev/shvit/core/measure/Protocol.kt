package dev.shvit.core.measure

import dev.shvit.core.ShvitException.InvalidSettings

/** The length of a contestant's turn in a round. */
sealed interface Turn {
    /** A number of inferences. */
    data class Iterations(val count: Int) : Turn

    /** A duration in seconds. Every inference that begins within it counts; there is at least one. */
    data class Seconds(val seconds: Double) : Turn
}

/**
 * The settings of a benchmark.
 *
 * Rounds interleave the contestants with the same number of threads, so that throttling slows all of them. After the
 * rounds, each has its sustained run, if there is one.
 *
 * @property warmUp Warm-up inferences at the start of each turn.
 * @property turn The measured inferences of each turn.
 * @property rounds The number of rounds. With fewer than 7, `shvit-mobile devices` cannot compute the interval of a
 *   slowdown.
 * @property sustainedSeconds The length of each sustained run after the rounds; 0 for none.
 * @property windowSeconds The length of a sustained run's windows.
 * @throws InvalidSettings If a number is out of range.
 */
data class Protocol(
    val warmUp: Int = 5,
    val turn: Turn = Turn.Iterations(20),
    val rounds: Int = 12,
    val sustainedSeconds: Double = 0.0,
    val windowSeconds: Double = 10.0,
) {
    init {
        val length = when (turn) {
            is Turn.Iterations -> turn.count.toDouble()
            is Turn.Seconds -> turn.seconds
        }
        if (warmUp < 0 || rounds < 1 || !(length > 0 && length.isFinite())) {
            throw InvalidSettings(
                "$warmUp warm-up inferences, $rounds rounds and a turn of $length cannot be run.",
                "The warm-up must be at least 0; rounds and the length of a turn must be above 0.",
            )
        }
        if (!(sustainedSeconds >= 0 && sustainedSeconds.isFinite() && windowSeconds > 0 && windowSeconds.isFinite())) {
            throw InvalidSettings(
                "A sustained run of $sustainedSeconds s in windows of $windowSeconds s cannot be run.",
                "The run must be at least 0 s long, and a window longer than 0 s.",
            )
        }
    }
}

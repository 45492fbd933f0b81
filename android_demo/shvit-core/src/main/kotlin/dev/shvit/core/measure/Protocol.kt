package dev.shvit.core.measure

import dev.shvit.core.WrongSettings

/** How long a turn is. */
sealed interface Turn {
    /** So many inferences. */
    data class Iterations(val count: Int) : Turn

    /** As many inferences as begin within so many seconds; at least one. */
    data class Seconds(val seconds: Double) : Turn
}

/**
 * How a benchmark is run.
 *
 * Contestants of as many threads take turns, so that a phone that grows hot slows all of them. Then each has its
 * sustained run, if asked.
 *
 * @property warmUp inferences at the beginning of each turn that do not count.
 * @property turn the inferences that do.
 * @property rounds how often each contestant has its turn. From fewer than 7, `shvit-mobile devices` has no interval of
 *   a slowdown.
 * @property sustainedSeconds how long a contestant runs without a pause after the rounds; 0 for not at all.
 * @property windowSeconds the stretches of a sustained run that are summed up.
 * @throws WrongSettings a number is out of its range.
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
            throw WrongSettings(
                "A warm-up of $warmUp, $rounds rounds and a turn of $length cannot be run.",
                "A turn has at least one inference or lasts a while, and there is at least one round.",
            )
        }
        if (!(sustainedSeconds >= 0 && sustainedSeconds.isFinite() && windowSeconds > 0 && windowSeconds.isFinite())) {
            throw WrongSettings(
                "A sustained run of $sustainedSeconds s in windows of $windowSeconds s cannot be run.",
                "The run lasts 0 seconds or longer, and a window longer than 0.",
            )
        }
    }
}

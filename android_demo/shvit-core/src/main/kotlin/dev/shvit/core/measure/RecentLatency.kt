package dev.shvit.core.measure

/**
 * The median of the latest samples, which a live view shows: a single frame's latency is too restless to read.
 *
 * @property kept how many samples count; older ones are forgotten.
 */
class RecentLatency(private val kept: Int = 30) {
    private val samples = ArrayDeque<Double>()

    /** Adds a sample, in milliseconds, and gives the median of those that count. */
    fun add(milliseconds: Double): Double {
        if (samples.size == kept) samples.removeFirst()
        samples.addLast(milliseconds)
        return percentile(samples, 50.0)
    }
}

package dev.shvit.core.measure

/**
 * The running median of the last latencies for a live view, which is steadier than single values.
 *
 * @property kept How many latencies the median covers.
 */
class RecentLatency(private val kept: Int = 30) {
    private val samples = ArrayDeque<Double>()

    /** Adds a latency in milliseconds and returns the current median. */
    fun add(milliseconds: Double): Double {
        if (samples.size == kept) samples.removeFirst()
        samples.addLast(milliseconds)
        return percentile(samples, 50.0)
    }
}

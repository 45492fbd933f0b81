package dev.shvit.core.screen

import dev.shvit.core.measure.Histogram
import dev.shvit.core.measure.Latency
import dev.shvit.core.measure.percentile

/**
 * A latency histogram as drawn, in pixels from the upper left corner.
 *
 * @property bars The bars from left to right, without empty bins.
 * @property marks The positions from left to right of the percentiles that the samples support.
 * @property least The latency at the left edge, in milliseconds; [most] at the right edge.
 */
class HistogramPicture private constructor(
    val bars: List<Bar>,
    val marks: List<Mark>,
    val least: Double,
    val most: Double,
) {
    /** A bar on the bottom edge. */
    data class Bar(val left: Double, val top: Double, val right: Double, val bottom: Double)

    /** A percentile: its share, its latency in milliseconds, and its distance from the left edge in pixels. */
    data class Mark(val share: Int, val milliseconds: Double, val x: Double)

    companion object {
        private const val MEDIAN = 50
        private val SHARES = listOf(MEDIAN, 90, 99)
        private const val GAP = 0.1

        /**
         * Draws samples into a rectangle; the fullest bin reaches its top.
         *
         * The right edge leaves out up to 0.5% of the samples, which the last bin counts: otherwise one pause of the
         * system would squeeze all others into one bar.
         *
         * @param samples The latencies in milliseconds; at least one.
         * @param width The width of the rectangle in pixels; [height] likewise.
         */
        fun of(samples: List<Double>, width: Double, height: Double, bins: Int = 32): HistogramPicture {
            val most = percentile(samples, 99.5)
            val histogram = Histogram.of(samples.map { minOf(it, most) }, bins)
            val step = width / bins
            val fullest = histogram.counts.max()
            val bars = histogram.counts.withIndex().filter { it.value > 0 }.map { (bin, count) ->
                val left = (bin + GAP / 2) * step
                Bar(left, height * (1 - count.toDouble() / fullest), left + (1 - GAP) * step, height)
            }
            val perMillisecond = width / (histogram.width * bins)
            val marks = SHARES.filter { it == MEDIAN || samples.size >= Latency.neededSamples(it) }.map { share ->
                val milliseconds = percentile(samples, share.toDouble())
                Mark(share, milliseconds, (milliseconds - histogram.least) * perMillisecond)
            }
            return HistogramPicture(bars, marks, histogram.least, histogram.least + histogram.width * bins)
        }
    }
}

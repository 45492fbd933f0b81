package dev.shvit.core.screen

import dev.shvit.core.measure.Histogram
import dev.shvit.core.measure.percentile

/**
 * A histogram of latencies as it is drawn, in pixels from the upper left.
 *
 * @property bars from left to right; empty bins have none.
 * @property marks where the percentiles are, from left to right.
 * @property least the latency at the left end, in milliseconds; [most] at the right.
 */
class HistogramPicture private constructor(
    val bars: List<Bar>,
    val marks: List<Mark>,
    val least: Double,
    val most: Double,
) {
    /** A bar that stands on the bottom edge. */
    data class Bar(val left: Double, val top: Double, val right: Double, val bottom: Double)

    /** A percentile: which, its latency in milliseconds, and how far from the left edge it is, in pixels. */
    data class Mark(val share: Int, val milliseconds: Double, val x: Double)

    companion object {
        private val SHARES = listOf(50, 90, 99)
        private const val GAP = 0.1

        /**
         * The picture of samples that fills a rectangle; the fullest bin reaches its top.
         *
         * Half of a hundredth of the samples may lie beyond the right end: one pause of the system would otherwise
         * press all others into one bar. They are counted in the last bar.
         *
         * @param samples in milliseconds; at least one.
         * @param width of the rectangle, in pixels, as [height].
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
            val marks = SHARES.map { share ->
                val milliseconds = percentile(samples, share.toDouble())
                Mark(share, milliseconds, (milliseconds - histogram.least) * perMillisecond)
            }
            return HistogramPicture(bars, marks, histogram.least, histogram.least + histogram.width * bins)
        }
    }
}

package dev.shvit.core.measure

import dev.shvit.core.WrongSettings

/**
 * How many samples fall in each of some bins of one width, as NumPy's `histogram` counts: a bin holds its lower edge,
 * and the last one both.
 *
 * @property least the lower edge of the first bin.
 * @property width of each bin; above 0.
 */
data class Histogram(val least: Double, val width: Double, val counts: List<Int>) {
    companion object {
        /**
         * The histogram of samples from the smallest to the largest; of samples all alike, half to each side of them.
         *
         * @throws WrongSettings there are no samples, one is not finite, or there is no bin.
         */
        fun of(samples: List<Double>, bins: Int): Histogram {
            if (samples.isEmpty() || bins < 1 || !samples.all(Double::isFinite)) {
                throw WrongSettings(
                    "${samples.size} samples cannot be counted in $bins bins.",
                    "At least one sample is needed, all of them finite, and at least one bin.",
                )
            }
            val alike = samples.min() == samples.max()
            val least = if (alike) samples.min() - 0.5 else samples.min()
            val width = if (alike) 1.0 / bins else (samples.max() - least) / bins
            val counts = IntArray(bins)
            for (sample in samples) counts[minOf(((sample - least) / width).toInt(), bins - 1)]++
            return Histogram(least, width, counts.toList())
        }
    }
}

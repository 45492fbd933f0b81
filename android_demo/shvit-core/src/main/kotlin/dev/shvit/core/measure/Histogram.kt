package dev.shvit.core.measure

import dev.shvit.core.ShvitException.InvalidSettings

/**
 * A histogram with bins of equal width, like NumPy's `histogram`: a bin contains its lower edge, and the last one
 * both.
 *
 * @property least The lower edge of the first bin.
 * @property width The width of each bin; above 0.
 * @property counts The number of samples in each bin.
 */
data class Histogram(val least: Double, val width: Double, val counts: List<Int>) {
    companion object {
        /**
         * Counts samples from the smallest to the largest. Equal samples get a range of 1 around them.
         *
         * @throws InvalidSettings If there are no samples, one is not finite, or there is no bin.
         */
        fun of(samples: List<Double>, bins: Int): Histogram {
            if (samples.isEmpty() || bins < 1 || !samples.all(Double::isFinite)) {
                throw InvalidSettings(
                    "${samples.size} samples cannot be counted in $bins bins.",
                    "At least one sample and one bin are required, and all samples must be finite.",
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

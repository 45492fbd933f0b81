package dev.shvit.core.measure

import dev.shvit.core.WrongSettings
import dev.shvit.core.documents.Ratio
import kotlin.math.exp
import kotlin.math.ln

/** How sure an interval is. */
private const val CONFIDENCE = 0.95

/**
 * The speed of `other` over that of `first`, from their latencies in the same rounds; `schemas/vectors/ratios.json`
 * holds cases for every language.
 *
 * Rounds are paired, so that what slows the whole phone for a moment slows both and cancels. The interval is that of
 * the sign test, which assumes nothing but that rounds are independent; of too few rounds it is 0 to infinity.
 *
 * @param first one latency a round, above 0.
 * @param other likewise, in the same order.
 * @throws WrongSettings there are no rounds, or not as many of one as of the other.
 */
fun ratio(first: List<Double>, other: List<Double>): Ratio {
    if (first.isEmpty() || first.size != other.size) {
        throw WrongSettings("${first.size} rounds cannot be held against ${other.size}.", "Rounds come in pairs.")
    }
    val logs = first.zip(other) { one, two -> ln(one / two) }.sorted()
    val value = exp(percentile(logs, 50.0))
    val outside = rankOutside(logs.size)
    if (outside == 0) return Ratio(value, 0.0, Double.POSITIVE_INFINITY)
    return Ratio(value, exp(logs[outside - 1]), exp(logs[logs.size - outside]))
}

/**
 * The k for which the k-th smallest and k-th largest of `count` values enclose their median: the greatest one for which
 * fewer than k heads in `count` throws of a coin are rare enough; 0 where even the extremes are not enough.
 */
internal fun rankOutside(count: Int): Int {
    var (tail, weight, k) = Triple(0.0, Math.pow(0.5, count.toDouble()), 0)
    while (tail + weight <= (1 - CONFIDENCE) / 2) {
        tail += weight
        k++
        weight *= (count - k + 1).toDouble() / k
    }
    return k
}

package dev.shvit.core.measure

import dev.shvit.core.ShvitException.InvalidSettings
import dev.shvit.core.documents.Ratio
import kotlin.math.exp
import kotlin.math.ln

/** The confidence level of an interval. */
private const val CONFIDENCE = 0.95

/**
 * Returns the speed of `other` relative to `first`, from their latencies in the same rounds.
 * `schemas/vectors/ratios.json` contains test cases for all languages.
 *
 * Rounds are paired, so that a disturbance of the whole phone affects both and cancels out. The interval comes from
 * the sign test, which only assumes that rounds are independent; with too few rounds it is 0 to infinity.
 *
 * @param first One latency per round, above 0.
 * @param other The other contestant's latencies, in the same order.
 * @throws InvalidSettings If there are no rounds, or the numbers of rounds differ.
 */
fun ratio(first: List<Double>, other: List<Double>): Ratio {
    if (first.isEmpty() || first.size != other.size) {
        throw InvalidSettings("${first.size} rounds cannot be compared with ${other.size}.", "Rounds are paired.")
    }
    val logs = first.zip(other) { one, two -> ln(one / two) }.sorted()
    val value = exp(percentile(logs, 50.0))
    val outside = rankOutside(logs.size)
    if (outside == 0) return Ratio(value, 0.0, Double.POSITIVE_INFINITY)
    return Ratio(value, exp(logs[outside - 1]), exp(logs[logs.size - outside]))
}

/**
 * Returns the k for which the k-th smallest and k-th largest of `count` values enclose their median: the largest one
 * for which fewer than k heads in `count` coin tosses are rare enough; 0 if even the extremes are not enough.
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

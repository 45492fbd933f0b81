package dev.shvit.core.measure

import dev.shvit.core.ShvitException.InvalidSettings
import dev.shvit.core.json.Fields
import dev.shvit.core.json.Fields.Companion.POSITIVE
import dev.shvit.core.json.Json
import dev.shvit.core.json.json
import dev.shvit.core.json.jsonObject

/**
 * The percentiles of a list of latencies, in milliseconds.
 *
 * @property samples The number of samples.
 * @property p50 The median by [percentile]; likewise [p90], [p95] and [p99].
 * @property least The minimum.
 */
data class Latency(
    val samples: Int,
    val p50: Double,
    val p90: Double,
    val p95: Double,
    val p99: Double,
    val least: Double,
    val unknown: Map<String, Json> = emptyMap(),
) {
    internal fun json(): Json.Object = jsonObject(
        "samples" to json(samples),
        "p50" to json(p50),
        "p90" to json(p90),
        "p95" to json(p95),
        "p99" to json(p99),
        "least" to json(least),
        unknown = unknown,
    )

    companion object {
        /**
         * Summarizes samples.
         *
         * @throws InvalidSettings If there are none.
         */
        fun of(samples: List<Double>): Latency = Latency(
            samples.size,
            percentile(samples, 50.0),
            percentile(samples, 90.0),
            percentile(samples, 95.0),
            percentile(samples, 99.0),
            samples.min(),
        )

        internal fun of(fields: Fields): Latency = Latency(
            fields.count("samples", least = 1),
            fields.number("p50", POSITIVE),
            fields.number("p90", POSITIVE),
            fields.number("p95", POSITIVE),
            fields.number("p99", POSITIVE),
            fields.number("least", POSITIVE),
            fields.unknown(),
        )
    }
}

/**
 * Returns a percentile by linear interpolation between the neighboring samples: NumPy's default, R's type 7.
 * `schemas/vectors/percentiles.json` contains test cases for all languages.
 *
 * @throws InvalidSettings If there are no samples, or [share] is not in 0 to 100.
 */
fun percentile(samples: List<Double>, share: Double): Double {
    if (samples.isEmpty() || share !in 0.0..100.0) {
        throw InvalidSettings(
            "There is no ${share}th percentile of ${samples.size} samples.",
            "At least one sample is required, and a share from 0 to 100.",
        )
    }
    val ordered = samples.sorted()
    val place = share / 100 * (ordered.size - 1)
    val below = place.toInt()
    val above = minOf(below + 1, ordered.lastIndex)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
}

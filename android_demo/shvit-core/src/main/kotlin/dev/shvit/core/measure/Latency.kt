package dev.shvit.core.measure

import dev.shvit.core.ShvitException.InvalidSettings
import dev.shvit.core.json.Fields
import dev.shvit.core.json.Fields.Companion.POSITIVE
import dev.shvit.core.json.Json
import dev.shvit.core.json.json
import dev.shvit.core.json.jsonObject

/**
 * A summary of latencies, in milliseconds.
 *
 * @property samples The number of samples.
 * @property p50 The median by [percentile]; likewise [p90], [p95] and [p99], which are null if the samples do not support
 *   them: [neededSamples]. Reports of version 1.0 state all of them.
 * @property least The minimum.
 * @property mean The mean; null in reports of version 1.0.
 */
data class Latency(
    val samples: Int,
    val p50: Double,
    val p90: Double? = null,
    val p95: Double? = null,
    val p99: Double? = null,
    val least: Double,
    val mean: Double? = null,
    val unknown: Map<String, Json> = emptyMap(),
) {
    private val tails: List<Pair<Int, Double?>> get() = listOf(90 to p90, 95 to p95, 99 to p99)

    internal fun json(): Json.Object = jsonObject(
        "samples" to json(samples),
        "p50" to json(p50),
        "p90" to json(p90),
        "p95" to json(p95),
        "p99" to json(p99),
        "least" to json(least),
        "mean" to json(mean),
        unknown = unknown,
    )

    /** Rejects what cannot be, since version 1.1 of the report: see the Python class of the same document. */
    private fun check(fields: Fields) {
        for ((share, value) in tails) {
            val needed = neededSamples(share)
            if ((value != null) != (samples >= needed)) {
                fields.fail("p$share", "there are $samples samples; it is stated from $needed samples on")
            }
        }
        val mean = mean ?: fields.fail("mean", "this field is missing")
        val ordered = listOf("least" to least, "p50" to p50) + tails.mapNotNull { (share, value) ->
            value?.let { "p$share" to it }
        }
        for ((lower, upper) in ordered.zipWithNext()) {
            if (exceeds(lower.second, upper.second)) {
                fields.fail(upper.first, "${upper.second} is less than ${lower.first} with ${lower.second}")
            }
        }
        if (exceeds(least, mean)) fields.fail("mean", "$mean is below the least")
    }

    companion object {
        /**
         * Summarizes samples.
         *
         * @throws InvalidSettings If there are none.
         */
        fun of(samples: List<Double>): Latency {
            fun supported(share: Int) = if (samples.size < neededSamples(share)) null else percentile(samples, share.toDouble())
            return Latency(
                samples.size,
                percentile(samples, 50.0),
                supported(90),
                supported(95),
                supported(99),
                samples.min(),
                samples.average(),
            )
        }

        /** Returns how many samples a percentile above the median needs, so that ten of them lie above it. */
        fun neededSamples(share: Int): Int = TAIL_SAMPLES * 100 / (100 - share)

        /** Reads a summary; [timed] is whether the report has at least version 1.1. */
        internal fun of(fields: Fields, timed: Boolean): Latency {
            fun tail(name: String) =
                if (timed) fields.numberOrNull(name, POSITIVE) else fields.number(name, POSITIVE)
            return Latency(
                fields.count("samples", least = 1),
                fields.number("p50", POSITIVE),
                tail("p90"),
                tail("p95"),
                tail("p99"),
                fields.number("least", POSITIVE),
                fields.numberOrNull("mean", POSITIVE),
                fields.unknown(),
            ).also { if (timed) it.check(fields) }
        }

        /** Returns whether a value is above a limit by more than the last digits. */
        internal fun exceeds(value: Double, limit: Double): Boolean = value > limit * (1 + RELATIVE) + ABSOLUTE_MS

        private const val TAIL_SAMPLES = 10
        private const val RELATIVE = 1e-6
        private const val ABSOLUTE_MS = 1e-6
    }
}

/**
 * The stages of whole frames, from a picture in memory to the most likely labels: see [Stage].
 *
 * @property total All of it.
 */
data class Stages(
    val preprocessing: Latency,
    val tensor: Latency,
    val inference: Latency,
    val decoding: Latency,
    val total: Latency,
    val unknown: Map<String, Json> = emptyMap(),
) {
    private val parts: Map<String, Latency>
        get() = mapOf(
            "preprocessing" to preprocessing,
            "tensor" to tensor,
            "inference" to inference,
            "decoding" to decoding,
        )

    internal fun json(): Json.Object = jsonObject(
        *parts.map { (name, stage) -> name to stage.json() }.toTypedArray(),
        "total" to total.json(),
        unknown = unknown,
    )

    private fun check(fields: Fields) {
        for ((name, stage) in parts) {
            if (stage.samples != total.samples) {
                fields.fail("$name.samples", "it is ${stage.samples}, and there are ${total.samples} frames")
            }
        }
        val stages = parts.values
        // Of minima and means, the sum is a bound; of percentiles, each stage.
        val bounds = listOf(
            Triple("least", stages.sumOf { it.least }, total.least),
            Triple("p50", stages.maxOf { it.p50 }, total.p50),
            Triple("p90", stages.maxOf { it.p90 ?: 0.0 }, total.p90),
            Triple("p95", stages.maxOf { it.p95 ?: 0.0 }, total.p95),
            Triple("p99", stages.maxOf { it.p99 ?: 0.0 }, total.p99),
            Triple("mean", stages.sumOf { it.mean ?: 0.0 }, total.mean),
        )
        for ((name, bound, whole) in bounds) {
            if (whole != null && Latency.exceeds(bound, whole)) {
                fields.fail("total.$name", "$whole is less than its stages with $bound")
            }
        }
    }

    internal companion object {
        fun of(fields: Fields): Stages = Stages(
            fields.child("preprocessing") { Latency.of(it, timed = true) },
            fields.child("tensor") { Latency.of(it, timed = true) },
            fields.child("inference") { Latency.of(it, timed = true) },
            fields.child("decoding") { Latency.of(it, timed = true) },
            fields.child("total") { Latency.of(it, timed = true) },
            fields.unknown(),
        ).also { it.check(fields) }
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

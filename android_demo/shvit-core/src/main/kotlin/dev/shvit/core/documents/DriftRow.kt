package dev.shvit.core.documents

import dev.shvit.core.json.Fields
import dev.shvit.core.json.Fields.Companion.POSITIVE
import dev.shvit.core.json.Fields.Companion.SHARE
import dev.shvit.core.json.Json
import dev.shvit.core.json.json
import dev.shvit.core.json.jsonObject
import dev.shvit.core.json.word

/** A share of images with its 95% confidence interval, all from 0 to 1. */
data class Share(val value: Double, val low: Double, val high: Double, val unknown: Map<String, Json> = emptyMap()) {
    internal fun json(): Json.Object =
        jsonObject("value" to json(value), "low" to json(low), "high" to json(high), unknown = unknown)

    companion object {
        internal fun of(fields: Fields): Share = Share(
            fields.number("value", SHARE),
            fields.number("low", SHARE),
            fields.number("high", SHARE),
            fields.unknown(),
        )
    }
}

/** McNemar's test: images that only one of two models classified correctly, with the exact two-sided p-value. */
data class McNemar(val lost: Int, val gained: Int, val pValue: Double, val unknown: Map<String, Json> = emptyMap()) {
    internal fun json(): Json.Object =
        jsonObject("lost" to json(lost), "gained" to json(gained), "p_value" to json(pValue), unknown = unknown)

    companion object {
        internal fun of(fields: Fields): McNemar =
            McNemar(fields.count("lost"), fields.count("gained"), fields.number("p_value", SHARE), fields.unknown())
    }
}

/** The CPU that was emulated, and the features by which XNNPACK selects kernels. */
data class EmulatedCpu(
    val arch: String,
    val name: String,
    val features: List<String>,
    val unknown: Map<String, Json> = emptyMap(),
) {
    internal fun json(): Json.Object = jsonObject(
        "arch" to json(arch),
        "name" to json(name),
        "features" to json(features) { json(it) },
        unknown = unknown,
    )

    companion object {
        internal fun of(fields: Fields): EmulatedCpu =
            EmulatedCpu(fields.text("arch"), fields.text("name"), fields.texts("features"), fields.unknown())
    }
}

/**
 * The drift of one map of a model that is no classifier.
 *
 * @property name The output's name.
 * @property cosine The cosine similarity of artifact and float model.
 * @property worstChannel The channel with the lowest SQNR, [worstChannelDb].
 */
data class MapDrift(
    val name: String,
    val sqnrDb: Double,
    val cosine: Double,
    val worstChannel: Int,
    val worstChannelDb: Double,
    val maxAbsError: Double,
    val unknown: Map<String, Json> = emptyMap(),
) {
    internal fun json(): Json.Object = jsonObject(
        "name" to json(name),
        "sqnr_db" to json(sqnrDb),
        "cosine" to json(cosine),
        "worst_channel" to json(worstChannel),
        "worst_channel_db" to json(worstChannelDb),
        "max_abs_error" to json(maxAbsError),
        unknown = unknown,
    )

    companion object {
        internal fun of(fields: Fields): MapDrift = MapDrift(
            fields.text("name"),
            fields.figure("sqnr_db"),
            fields.number("cosine", -1.0..1.0),
            fields.count("worst_channel"),
            fields.figure("worst_channel_db"),
            fields.number("max_abs_error", POSITIVE),
            fields.unknown(),
        )
    }
}

/**
 * How far an artifact's results are from the float model's, on the same images.
 *
 * @property artifact The artifact's file name.
 * @property cpu The emulated CPU; null for the machine's own.
 * @property engine The runtime's name and version.
 * @property images The number of images that both models ran on.
 * @property skipped The number of files that could not be decoded.
 * @property top1 The artifact's top-1 accuracy; null without labels, as [top5], [floatTop1] and [floatTop5].
 * @property top1Drop The loss of top-1 accuracy in points; [top1DropInterval] is its 95% confidence interval.
 * @property agreement The share of images on which both models choose the same class; null for maps.
 * @property sqnrDb The SQNR of the logits, or the lowest of a map; infinite if they are equal.
 * @property maxAbsError The largest difference of any logit, or of any value of a map.
 * @property meanKl The mean KL divergence from the float model's class distribution, in nats; null for maps.
 * @property maps The drift of each map; empty for a classifier.
 * @property boxes The boxes that a detector shares with the float model, with [averagePrecision] as JSON; an app uses neither.
 */
data class DriftRow(
    val artifact: String,
    val target: String,
    val precision: String,
    val how: Execution,
    val engine: String,
    val artifactSha256: String? = null,
    val cpu: EmulatedCpu? = null,
    val images: Int,
    val skipped: Int = 0,
    val top1: Share? = null,
    val top5: Share? = null,
    val floatTop1: Share? = null,
    val floatTop5: Share? = null,
    val top1Drop: Double? = null,
    val top1DropInterval: List<Double>? = null,
    val mcnemar: McNemar? = null,
    val agreement: Share?,
    val sqnrDb: Double,
    val maxAbsError: Double,
    val meanKl: Double?,
    val maps: List<MapDrift> = emptyList(),
    val boxes: Json.Object? = null,
    val averagePrecision: Json.Object? = null,
    val unknown: Map<String, Json> = emptyMap(),
) {
    internal fun json(): Json.Object = jsonObject(
        "artifact" to json(artifact),
        "target" to json(target),
        "precision" to json(precision),
        "how" to json(how),
        "engine" to json(engine),
        "artifact_sha256" to json(artifactSha256),
        "cpu" to (cpu?.json() ?: Json.Null),
        "images" to json(images),
        "skipped" to json(skipped),
        "top1" to (top1?.json() ?: Json.Null),
        "top5" to (top5?.json() ?: Json.Null),
        "float_top1" to (floatTop1?.json() ?: Json.Null),
        "float_top5" to (floatTop5?.json() ?: Json.Null),
        "top1_drop" to json(top1Drop),
        "top1_drop_interval" to (top1DropInterval?.let { ends -> json(ends) { json(it) } } ?: Json.Null),
        "mcnemar" to (mcnemar?.json() ?: Json.Null),
        "agreement" to (agreement?.json() ?: Json.Null),
        "sqnr_db" to json(sqnrDb),
        "max_abs_error" to json(maxAbsError),
        "mean_kl" to json(meanKl),
        if (maps.isEmpty()) null else "maps" to json(maps) { it.json() },
        boxes?.let { "boxes" to it },
        averagePrecision?.let { "average_precision" to it },
        unknown = unknown,
    )

    companion object {
        internal fun of(fields: Fields): DriftRow = DriftRow(
            artifact = fields.text("artifact"),
            target = fields.text("target"),
            precision = fields.text("precision"),
            how = fields.word("how"),
            engine = fields.text("engine"),
            artifactSha256 = fields.sha256OrNull("artifact_sha256"),
            cpu = fields.childOrNull("cpu", EmulatedCpu::of),
            images = fields.count("images", least = 1),
            skipped = fields.countOrNull("skipped") ?: 0,
            top1 = fields.childOrNull("top1", Share::of),
            top5 = fields.childOrNull("top5", Share::of),
            floatTop1 = fields.childOrNull("float_top1", Share::of),
            floatTop5 = fields.childOrNull("float_top5", Share::of),
            top1Drop = fields.numberOrNull("top1_drop"),
            top1DropInterval = fields.orElse("top1_drop_interval", null) { name ->
                fields.numbers(name).also { if (it.size != 2) fields.fail(name, "it must be (low, high)") }
            },
            mcnemar = fields.childOrNull("mcnemar", McNemar::of),
            agreement = fields.childOrNull("agreement", Share::of),
            sqnrDb = fields.figure("sqnr_db"),
            maxAbsError = fields.number("max_abs_error"),
            meanKl = fields.numberOrNull("mean_kl"),
            maps = fields.orElse("maps", emptyList()) { fields.children(it, MapDrift::of) },
            boxes = fields.orElse("boxes", null) { fields.tree(it) },
            averagePrecision = fields.orElse("average_precision", null) { fields.tree(it) },
            unknown = fields.unknown(),
        ).also {
            if (it.maps.isEmpty() && (it.agreement == null || it.meanKl == null)) fields.fail("agreement", "it is missing")
        }
    }
}

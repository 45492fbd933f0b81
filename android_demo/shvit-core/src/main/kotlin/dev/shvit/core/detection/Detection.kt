package dev.shvit.core.detection

import dev.shvit.core.ShvitException.InvalidSettings
import dev.shvit.core.json.Fields
import dev.shvit.core.json.Json
import dev.shvit.core.json.Word
import dev.shvit.core.json.json
import dev.shvit.core.json.jsonObject
import dev.shvit.core.json.word
import kotlin.math.ln
import kotlin.math.sqrt

/** How the maps of a detector describe boxes. */
enum class BoxCoding(override val word: String) : Word {
    /** Offsets of the center in sides of an anchor box, and logarithms of the ratio of the sides. */
    DELTAS("deltas"),

    /** Logarithms of the distances in strides from the center to the left, top, right and bottom side. */
    DISTANCES("distances"),
}

/** What makes a score from 0 to 1 of a raw score. */
enum class ScoreActivation(override val word: String) : Word {
    SIGMOID("sigmoid"),
}

/**
 * How boxes are coded in the maps of a detector, and which of them are kept. The same as
 * `shvit_mobile/contracts/detection.py`; `docs/guides/detection.md` describes the steps.
 *
 * @property strides The stride of each level in pixels, increasing.
 * @property centerOffset 0 for a center at the corner of a position, 0.5 for one in its middle.
 * @property anchorScales The sides of the square anchor boxes in strides; empty for distances.
 * @property anchorRatios Height by width of the anchor boxes; empty for distances.
 * @property boxMeans A raw value r stands for r * std + mean, for each of the four.
 * @property boxStds The same.
 * @property scoreThreshold Only scores above it count.
 * @property preNmsTopK The number of scores of a level, at most, that count.
 * @property nmsIou A box is dropped if its intersection over union with a better one exceeds this.
 * @property classWiseNms Whether only boxes of the same class drop each other.
 * @property maxBoxes The number of boxes, at most, of a picture.
 * @throws InvalidSettings If a number is out of range, or anchors are given for distances or missing for deltas.
 */
data class Detection(
    val strides: List<Int>,
    val boxCoding: BoxCoding,
    val centerOffset: Double = 0.0,
    val anchorScales: List<Double> = emptyList(),
    val anchorRatios: List<Double> = emptyList(),
    val boxMeans: List<Double> = List(4) { 0.0 },
    val boxStds: List<Double> = List(4) { 1.0 },
    val scoreActivation: ScoreActivation = ScoreActivation.SIGMOID,
    val scoreThreshold: Double = 0.05,
    val preNmsTopK: Int = 1000,
    val nmsIou: Double = 0.5,
    val classWiseNms: Boolean = true,
    val maxBoxes: Int = 100,
) {
    init {
        val increasing = strides.zipWithNext().all { (one, next) -> one < next }
        check(strides.isNotEmpty() && increasing && strides.all { it in 1..1024 }, "strides", strides)
        check(centerOffset in 0.0..1.0, "center_offset", centerOffset)
        for ((name, values) in listOf("anchor_scales" to anchorScales, "anchor_ratios" to anchorRatios)) {
            val fits = when (boxCoding) {
                BoxCoding.DISTANCES -> values.isEmpty()
                BoxCoding.DELTAS -> values.size in 1..16 && values.all { it in 0.001..1000.0 }
            }
            check(fits, name, values)
        }
        check(boxMeans.size == 4 && boxMeans.all { it in -1000.0..1000.0 }, "box_means", boxMeans)
        check(boxStds.size == 4 && boxStds.all { it in 1e-6..1000.0 }, "box_stds", boxStds)
        check(scoreThreshold > 0 && scoreThreshold < 1, "score_threshold", scoreThreshold)
        check(preNmsTopK in 1..100_000, "pre_nms_top_k", preNmsTopK)
        check(nmsIou in 0.0..1.0, "nms_iou", nmsIou)
        check(maxBoxes in 1..100_000, "max_boxes", maxBoxes)
    }

    private fun check(valid: Boolean, name: String, value: Any) {
        if (!valid) throw InvalidSettings("$name is $value.", "It is out of range, or contradicts the box coding.")
    }

    /** The number of boxes that a position has. */
    val anchors: Int get() = if (boxCoding == BoxCoding.DELTAS) anchorScales.size * anchorRatios.size else 1

    /** The raw score whose score is [scoreThreshold]. */
    internal val rawScoreThreshold: Double get() = ln(scoreThreshold / (1 - scoreThreshold))

    /** Returns (width, height) in pixels of each anchor box of a level: ordered by ratio, then by scale. */
    internal fun anchorSizes(stride: Int): List<Pair<Double, Double>> = anchorRatios.flatMap { ratio ->
        anchorScales.map { stride * it / sqrt(ratio) to stride * it * sqrt(ratio) }
    }

    internal fun json(): Json.Object = jsonObject(
        "strides" to json(strides) { json(it) },
        "box_coding" to json(boxCoding),
        "center_offset" to json(centerOffset),
        "anchor_scales" to json(anchorScales) { json(it) },
        "anchor_ratios" to json(anchorRatios) { json(it) },
        "box_means" to json(boxMeans) { json(it) },
        "box_stds" to json(boxStds) { json(it) },
        "score_activation" to json(scoreActivation),
        "score_threshold" to json(scoreThreshold),
        "pre_nms_top_k" to json(preNmsTopK),
        "nms_iou" to json(nmsIou),
        "class_wise_nms" to json(classWiseNms),
        "max_boxes" to json(maxBoxes),
    )

    companion object {
        /**
         * Reads a contract from a document.
         *
         * Unknown fields are rejected in every version, since they could change the boxes in an unknown way.
         */
        internal fun of(fields: Fields): Detection {
            val detection = try {
                Detection(
                    strides = fields.counts("strides", least = 1),
                    boxCoding = fields.word("box_coding"),
                    centerOffset = fields.number("center_offset"),
                    anchorScales = fields.numbers("anchor_scales"),
                    anchorRatios = fields.numbers("anchor_ratios"),
                    boxMeans = fields.numbers("box_means"),
                    boxStds = fields.numbers("box_stds"),
                    scoreActivation = fields.word("score_activation"),
                    scoreThreshold = fields.number("score_threshold"),
                    preNmsTopK = fields.count("pre_nms_top_k"),
                    nmsIou = fields.number("nms_iou"),
                    classWiseNms = fields.flag("class_wise_nms"),
                    maxBoxes = fields.count("max_boxes"),
                )
            } catch (reason: InvalidSettings) {
                fields.refuse(reason.message.orEmpty().replace("\n", " ").removeSuffix("."))
            }
            fields.close()
            return detection
        }
    }
}

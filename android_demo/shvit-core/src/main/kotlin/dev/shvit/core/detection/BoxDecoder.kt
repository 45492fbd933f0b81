package dev.shvit.core.detection

import dev.shvit.core.ShvitException.RuntimeFailure
import dev.shvit.core.images.Preprocessing
import dev.shvit.core.images.Preprocessor
import dev.shvit.core.images.Region
import kotlin.math.exp
import kotlin.math.ln
import kotlin.math.max
import kotlin.math.min

/** A raw map of a detector: values in the order channels, rows, columns. */
class RawMap(val channels: Int, val rows: Int, val columns: Int, val values: FloatArray) {
    init {
        require(values.size == channels * rows * columns) { "${values.size} values are not $channels x $rows x $columns" }
    }

    internal operator fun get(channel: Int, row: Int, column: Int): Double =
        values[(channel * rows + row) * columns + column].toDouble()
}

/**
 * A detected box in pixels of the picture.
 *
 * @property index The class's index.
 * @property score From 0 to 1.
 */
data class Box(
    val index: Int,
    val score: Float,
    val left: Float,
    val top: Float,
    val right: Float,
    val bottom: Float,
)

/**
 * Decodes the maps of a detector and suppresses boxes that overlap with better ones; the same as
 * `shvit_mobile/detection/decode.py`, step by step in 64 bits.
 *
 * @property detection How boxes are coded, and which are kept.
 * @property preprocessing How a picture becomes the model's input.
 */
class BoxDecoder(val detection: Detection, val preprocessing: Preprocessing) {
    private val preprocessor = Preprocessor(preprocessing)
    private val sizes = detection.strides.map(detection::anchorSizes)

    /** A candidate in pixels of the model's input. */
    private class Candidate(
        val raw: Double,
        val index: Int,
        val left: Double,
        val top: Double,
        val right: Double,
        val bottom: Double,
    ) {
        val area get() = (right - left) * (bottom - top)
    }

    /**
     * Returns the boxes of a picture, best first.
     *
     * @param scores The raw scores of each level: anchors * classes channels.
     * @param boxes The coded boxes of each level: anchors * 4 channels.
     * @param height The height of the upright picture in pixels; [width] likewise.
     * @throws RuntimeFailure If the maps do not fit the contract.
     */
    fun decode(scores: List<RawMap>, boxes: List<RawMap>, height: Int, width: Int): List<Box> {
        check(scores, boxes)
        val found = detection.strides.indices.flatMap { decode(scores[it], boxes[it], it) }
        // Nothing is found in the padding of a letterbox.
        val shown = preprocessor.shown(height, width)
        val inside = found.map { clip(it, shown) }.filter { it.right > it.left && it.bottom > it.top }
        val region = preprocessor.crop(height, width)
        val xScale = region.width / preprocessing.width
        val yScale = region.height / preprocessing.height
        fun x(value: Double) = limit(value * xScale + region.left, 0.0, width.toDouble()).toFloat()
        fun y(value: Double) = limit(value * yScale + region.top, 0.0, height.toDouble()).toFloat()
        return suppress(inside.sortedWith(BEST_FIRST)).map {
            val score = (1 / (1 + exp(-it.raw))).toFloat()
            Box(it.index, score, x(it.left), y(it.top), x(it.right), y(it.bottom))
        }
    }

    private fun check(scores: List<RawMap>, boxes: List<RawMap>) {
        val levels = detection.strides.size
        if (scores.size != levels || boxes.size != levels) {
            fail("The model returned ${scores.size} maps of scores and ${boxes.size} of boxes for $levels strides.")
        }
        val channels = scores[0].channels
        if (channels == 0 || channels % detection.anchors != 0) {
            fail("The model returned scores with $channels channels for ${detection.anchors} boxes a position.")
        }
        detection.strides.forEachIndexed { level, stride ->
            val rows = (preprocessing.height + stride - 1) / stride
            val columns = (preprocessing.width + stride - 1) / stride
            for ((map, expected) in listOf(scores[level] to channels, boxes[level] to 4 * detection.anchors)) {
                if (map.channels != expected || map.rows != rows || map.columns != columns) {
                    val shape = "${map.channels} x ${map.rows} x ${map.columns}"
                    fail("The model returned a map of $shape for stride $stride, not $expected x $rows x $columns.")
                }
            }
        }
    }

    private fun fail(what: String): Nothing = throw RuntimeFailure(what, "The maps must fit the artifact's manifest.")

    /** Returns the best candidates of a level, best first. */
    private fun decode(scores: RawMap, boxes: RawMap, level: Int): List<Candidate> {
        val anchors = detection.anchors
        val classes = scores.channels / anchors
        val threshold = detection.rawScoreThreshold
        val found = ArrayList<Candidate>()
        for (row in 0 until scores.rows) {
            for (column in 0 until scores.columns) {
                for (channel in 0 until scores.channels) {
                    val raw = scores[channel, row, column]
                    if (raw > threshold) found += candidate(raw, channel % classes, channel / classes, row, column, boxes, level)
                }
            }
        }
        // The sort is stable.
        return found.sortedWith(BEST_FIRST).take(detection.preNmsTopK)
    }

    private fun candidate(
        raw: Double,
        index: Int,
        anchor: Int,
        row: Int,
        column: Int,
        boxes: RawMap,
        level: Int,
    ): Candidate {
        val stride = detection.strides[level]
        fun value(side: Int) =
            boxes[4 * anchor + side, row, column] * detection.boxStds[side] + detection.boxMeans[side]
        fun power(side: Int) = exp(limit(value(side), -MAX_LOG_SCALE, MAX_LOG_SCALE))
        val x = (column + detection.centerOffset) * stride
        val y = (row + detection.centerOffset) * stride
        if (detection.boxCoding == BoxCoding.DISTANCES) {
            return Candidate(
                raw,
                index,
                x - stride * power(0),
                y - stride * power(1),
                x + stride * power(2),
                y + stride * power(3),
            )
        }
        val (anchorWidth, anchorHeight) = sizes[level][anchor]
        val centerX = x + anchorWidth * value(0)
        val centerY = y + anchorHeight * value(1)
        val width = anchorWidth * power(2)
        val height = anchorHeight * power(3)
        return Candidate(
            raw,
            index,
            centerX - width / 2,
            centerY - height / 2,
            centerX + width / 2,
            centerY + height / 2,
        )
    }

    private fun clip(box: Candidate, shown: Region): Candidate {
        val (right, bottom) = shown.left + shown.width to shown.top + shown.height
        return Candidate(
            box.raw,
            box.index,
            limit(box.left, shown.left, right),
            limit(box.top, shown.top, bottom),
            limit(box.right, shown.left, right),
            limit(box.bottom, shown.top, bottom),
        )
    }

    /** Returns the boxes that overlap with no better one that is kept, from boxes that are ordered, best first. */
    private fun suppress(boxes: List<Candidate>): List<Candidate> {
        val kept = ArrayList<Candidate>()
        for (box in boxes) {
            if (kept.size == detection.maxBoxes) break
            val dropped = kept.any {
                (!detection.classWiseNms || it.index == box.index) && overlap(it, box) > detection.nmsIou
            }
            if (!dropped) kept += box
        }
        return kept
    }

    private fun overlap(one: Candidate, other: Candidate): Double {
        val width = max(min(one.right, other.right) - max(one.left, other.left), 0.0)
        val height = max(min(one.bottom, other.bottom) - max(one.top, other.top), 0.0)
        val shared = width * height
        return shared / (one.area + other.area - shared)
    }

    private companion object {
        val MAX_LOG_SCALE = ln(1000.0 / 16)

        /** Compares as numbers: 0 and -0 are equal. */
        val BEST_FIRST = Comparator<Candidate> { one, other ->
            if (one.raw > other.raw) -1 else if (one.raw < other.raw) 1 else 0
        }

        /** Limits a value; what is not a number stays so. */
        fun limit(value: Double, least: Double, most: Double): Double =
            if (value < least) least else if (value > most) most else value
    }
}

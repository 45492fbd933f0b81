package dev.shvit.core.detection

import dev.shvit.core.Shared
import dev.shvit.core.ShvitException.InvalidDocument
import dev.shvit.core.ShvitException.InvalidSettings
import dev.shvit.core.ShvitException.RuntimeFailure
import dev.shvit.core.images.Preprocessing
import dev.shvit.core.images.ResizeMode
import dev.shvit.core.json.Fields
import dev.shvit.core.json.Json
import dev.shvit.core.json.Reading
import kotlin.math.ln
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

/** Tests against `schemas/vectors/detection.json`. */
class BoxDecoderTest {
    private val cases = Shared.fields(Shared.vectors.resolve("detection.json")).children("cases", ::Case)

    private class Case(fields: Fields) {
        val name = fields.text("name")
        val detection = fields.child("detection", Detection::of)
        val preprocessing = fields.child("preprocessing", Preprocessing::of)
        val size = fields.child("image") { it.count("height") to it.count("width") }
        val scores = fields.children("scores", ::map)
        val boxes = fields.children("boxes", ::map)
        val expected = fields.children("expected") {
            Triple(it.count("class"), it.number("score"), it.numbers("corners"))
        }

        private fun map(fields: Fields): RawMap {
            val (channels, rows, columns) = fields.counts("shape")
            return RawMap(channels, rows, columns, fields.numbers("values").map(Double::toFloat).toFloatArray())
        }
    }

    private val points = Detection(listOf(32), BoxCoding.DISTANCES, centerOffset = 0.5, nmsIou = 0.3)
    private val input = Preprocessing(height = 32, width = 64, cropRatio = 1.0, resizeMode = ResizeMode.SQUASH)

    @Test
    fun `boxes are those of the vectors`() {
        assertTrue(cases.size > 8)
        for (case in cases) {
            val (height, width) = case.size
            val found = BoxDecoder(case.detection, case.preprocessing).decode(case.scores, case.boxes, height, width)
            assertEquals(case.expected.map { it.first }, found.map { it.index }, case.name)
            for ((box, expected) in found.zip(case.expected)) {
                assertEquals(expected.second, box.score.toDouble(), 1e-6, case.name)
                val corners = listOf(box.left, box.top, box.right, box.bottom)
                for ((actual, wanted) in corners.zip(expected.third)) {
                    assertEquals(wanted, actual.toDouble(), 1e-4 * maxOf(height, width), case.name)
                }
            }
        }
    }

    /** Decodes two positions side by side with equal distances to the four sides. */
    private fun decode(scores: List<Float>, distances: List<Float>): List<Box> {
        val coded = FloatArray(8) { ln(distances[it % 2] / 32) }
        val raw = RawMap(1, 1, 2, scores.toFloatArray())
        return BoxDecoder(points, input).decode(listOf(raw), listOf(RawMap(4, 1, 2, coded)), 32, 64)
    }

    @Test
    fun `of equal scores the first position is kept`() {
        assertEquals(listOf(46f), decode(listOf(1f, 1f), listOf(30f, 40f)).map { it.right })
        assertEquals(listOf(64f), decode(listOf(1f, 1.001f), listOf(30f, 40f)).map { it.right })
        assertEquals(listOf(46f), decode(listOf(-0f, 0f), listOf(30f, 40f)).map { it.right })
    }

    @Test
    fun `values that are no numbers give no box`() {
        assertEquals(1, decode(listOf(2f, 1f), listOf(Float.NaN, 2f)).size)
        assertEquals(1, decode(listOf(Float.NaN, 1f), listOf(2f, 2f)).size)
    }

    @Test
    fun `maps that do not fit the contract are refused`() {
        val decoder = BoxDecoder(points, input)
        fun map(channels: Int, rows: Int, columns: Int) =
            listOf(RawMap(channels, rows, columns, FloatArray(channels * rows * columns)))
        val good = map(4, 1, 2)
        for ((scores, boxes) in listOf(
            emptyList<RawMap>() to good,
            map(1, 1, 2) to good + good,
            map(1, 2, 1) to good,
            map(1, 1, 2) to map(8, 1, 2),
            map(0, 1, 2) to good,
        )) {
            assertFailsWith<RuntimeFailure> { decoder.decode(scores, boxes, 32, 64) }
        }
        assertEquals(emptyList(), decoder.decode(map(2, 1, 2).map { RawMap(2, 1, 2, FloatArray(4) { -9f }) }, good, 32, 64))
    }

    @Test
    fun `a contract out of range is refused`() {
        assertFailsWith<InvalidSettings> { points.copy(strides = listOf(32, 16)) }
        assertFailsWith<InvalidSettings> { points.copy(anchorScales = listOf(1.0)) }
        assertFailsWith<InvalidSettings> { points.copy(boxCoding = BoxCoding.DELTAS) }
        assertFailsWith<InvalidSettings> { points.copy(scoreThreshold = 1.0) }
        assertFailsWith<InvalidSettings> { points.copy(boxStds = listOf(1.0)) }
    }

    @Test
    fun `a contract is read as it is written, and unknown fields are refused`() {
        for (case in cases) assertEquals(case.detection, Detection.of(fields(case.detection.json())))
        val more = Json.Object(points.json().fields + ("soft_nms" to Json.Flag(true)))
        assertFailsWith<InvalidDocument> { Detection.of(fields(more)) }
    }

    private fun fields(json: Json.Object) = Fields(json.fields, "detection", Reading("a test", "a contract", newer = true))
}

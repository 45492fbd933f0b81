package dev.shvit.core.images

import dev.shvit.core.Shared
import dev.shvit.core.json.Fields
import java.io.File
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class PreprocessorTest {
    private val folder = Shared.vectors.resolve("preprocessing")
    private val cases = Shared.fields(folder.resolve("cases.json")).children("cases", ::Case)

    private inner class Case(fields: Fields) {
        val name = fields.text("name")
        val preprocessing = fields.child("preprocessing", Preprocessing::of)
        val picture = fields.child("picture") {
            Picture.fromRgb(it.count("width"), it.count("height"), bytes(it))
        }
        val pixels = fields.child("pixels", ::bytes)
        val normalised = fields.numbers("normalised")

        private fun bytes(fields: Fields) = File(folder, fields.text("file")).readBytes()
    }

    @Test
    fun `pixels equal Pillow's, bit for bit`() {
        val options = cases.map { it.preprocessing }.map { Triple(it.interpolation, it.resizeMode, it.channelOrder) }
        assertEquals(4 * 2 * 2, options.toSet().size, "the vectors have every combination of options")
        for (case in cases) {
            assertContentEquals(case.pixels, Preprocessor(case.preprocessing).pixels(case.picture).bytes, case.name)
        }
    }

    @Test
    fun `normalized values equal the exporter's`() {
        for (case in cases) {
            val (height, width) = case.preprocessing.height to case.preprocessing.width
            val values = normalizedValues(Pixels(height, width, case.pixels), case.preprocessing)
            assertEquals(3 * height * width, values.size)
            case.normalised.forEachIndexed { index, expected ->
                assertEquals(expected, values[index].toDouble(), 1e-6, "${case.name}, value $index")
            }
        }
    }

    @Test
    fun `only the middle of a very long picture is resized`() {
        val long = Picture(4000, 2, IntArray(8000) { column -> (column % 4000) * 7 % 256 })
        val small = Preprocessing(height = 2, width = 2, cropRatio = 1.0, interpolation = Interpolation.NEAREST)
        val pixels = Preprocessor(small).pixels(long)
        assertEquals(1999 * 7 % 256, pixels[0, 0, 2])
        assertEquals(2000 * 7 % 256, pixels[0, 1, 2])
        assertEquals(2 to 4000, Preprocessor(small).resizedSize(2, 4000))
    }

    @Test
    fun `a squashed picture has the size to cover, whatever its proportions`() {
        val squash = Preprocessor(Preprocessing(height = 17, width = 23, cropRatio = 0.81, resizeMode = ResizeMode.SQUASH))
        for ((height, width) in listOf(1 to 1, 9 to 4000, 4000 to 9)) {
            assertEquals(20 to 28, squash.resizedSize(height, width))
        }
    }

    @Test
    fun `a picture of 12 million pixels does not overflow`() {
        val picture = Picture(4000, 3000, IntArray(12_000_000) { 0xFFFFFF })
        assertTrue(Preprocessor(Preprocessing()).pixels(picture).bytes.all { it == 255.toByte() })
    }
}

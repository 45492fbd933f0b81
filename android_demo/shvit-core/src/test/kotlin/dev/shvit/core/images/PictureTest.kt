package dev.shvit.core.images

import dev.shvit.core.ShvitException.InvalidSettings
import dev.shvit.core.ShvitException.UnsupportedInput
import java.nio.ByteBuffer
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class PictureTest {
    private fun pixel(red: Int, green: Int, blue: Int, alpha: Int = 0): Int =
        alpha shl 24 or (red shl 16) or (green shl 8) or blue

    /** Expected: Pillow's `paste` of the same colors on white with their alpha. */
    @Test
    fun `transparency is laid on white as in Pillow`() {
        val seen = intArrayOf(
            pixel(0, 255, 0, 0),
            pixel(10, 100, 200, 128),
            pixel(255, 0, 7, 1),
            pixel(3, 50, 90, 254),
        )
        val expected =
            intArrayOf(pixel(255, 255, 255), pixel(132, 177, 227), pixel(255, 254, 254), pixel(4, 51, 91))
        assertContentEquals(expected, Picture.onWhite(4, 1, seen).pixels)
        assertContentEquals(expected, RgbaPixels(4, 1, rgba(seen)).toPicture().pixels)
    }

    @Test
    fun `colors that are multiplied by alpha already are only added to white`() {
        val seen = intArrayOf(pixel(0, 0, 0, 0), pixel(5, 50, 100, 128), pixel(1, 2, 3, 255))
        val expected = intArrayOf(pixel(255, 255, 255), pixel(132, 177, 227), pixel(1, 2, 3))
        assertContentEquals(expected, RgbaPixels(3, 1, rgba(seen), premultiplied = true).toPicture().pixels)
    }

    private fun rgba(pixels: IntArray): ByteBuffer {
        val bytes = ByteBuffer.allocate(4 * pixels.size)
        for (pixel in pixels) bytes.putInt(pixel shl 8 or (pixel ushr 24))
        bytes.flip()
        return bytes
    }

    @Test
    fun `opaque pixels do not change`() {
        val pixels = intArrayOf(pixel(1, 2, 3, 255), pixel(255, 254, 253, 255))
        val model = Preprocessor(Preprocessing(height = 1, width = 2, cropRatio = 1.0))
        assertContentEquals(byteArrayOf(1, 2, 3, -1, -2, -3), model.pixels(Picture.onWhite(2, 1, pixels)).bytes)
    }

    @Test
    fun `a picture with the wrong number of pixels is rejected`() {
        assertFailsWith<UnsupportedInput> { Picture(0, 0, IntArray(0)) }
        assertFailsWith<UnsupportedInput> { Picture(3, 2, IntArray(5)) }
        assertFailsWith<UnsupportedInput> { Picture.fromRgb(1, 1, ByteArray(4)) }
        assertFailsWith<UnsupportedInput> { Picture(65536, 65536, IntArray(0)) }
    }

    @Test
    fun `the difference of pixels is their mean distance`() {
        val black = Pixels(1, 2, ByteArray(6))
        assertEquals(255.0 / 6, black.differenceFrom(Pixels(1, 2, byteArrayOf(0, -1, 0, 0, 0, 0))))
        assertFailsWith<UnsupportedInput> { black.differenceFrom(Pixels(2, 1, ByteArray(6))) }
        assertFailsWith<UnsupportedInput> { Pixels(1, 1, ByteArray(4)) }
    }

    @Test
    fun `invalid preprocessing is rejected`() {
        assertFailsWith<InvalidSettings> { Preprocessing(height = 0) }
        assertFailsWith<InvalidSettings> { Preprocessing(cropRatio = 0.0) }
        assertFailsWith<InvalidSettings> { Preprocessing(cropRatio = 1.5) }
        assertFailsWith<InvalidSettings> { Preprocessing(cropRatio = Double.NaN) }
        assertFailsWith<InvalidSettings> { Preprocessing(cropRatio = 1e-300) }
        assertFailsWith<InvalidSettings> { Preprocessing(height = 2048, cropRatio = 0.4) }
        assertFailsWith<InvalidSettings> { Preprocessing(width = 2049) }
        assertFailsWith<InvalidSettings> { Preprocessing(mean = listOf(0.5, 0.5, 116.28)) }
        assertFailsWith<InvalidSettings> { Preprocessing(std = listOf(58.4, 57.1, 57.4)) }
        assertFailsWith<InvalidSettings> { Preprocessing(mean = listOf(0.5)) }
        assertFailsWith<InvalidSettings> { Preprocessing(mean = listOf(0.5, Double.NaN, 0.5)) }
        assertFailsWith<InvalidSettings> { Preprocessing(std = listOf(0.5, 0.0, 0.5)) }
    }
}

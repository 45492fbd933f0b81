package dev.shvit.core.images

import dev.shvit.core.ShvitException.UnsupportedInput
import java.nio.ByteBuffer
import kotlin.math.abs
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class FrameTest {
    private fun plane(vararg samples: Int): Plane =
        Plane(ByteBuffer.wrap(ByteArray(samples.size) { samples[it].toByte() }), samples.size, 1)

    private fun pixel(y: Int, u: Int, v: Int): Int =
        Frame(1, 1, plane(y), plane(u), plane(v)).toPicture().pixels.single()

    /** Returns a plane with gaps between rows and samples. Its last row ends with its last sample. */
    private fun gapped(samples: ByteArray, width: Int, rowStride: Int, pixelStride: Int, before: Int): Plane {
        val rows = samples.size / width
        val noise = Random(7)
        val bytes = noise.nextBytes(before + (rows - 1) * rowStride + (width - 1) * pixelStride + 1)
        for (place in samples.indices) {
            bytes[before + place / width * rowStride + place % width * pixelStride] = samples[place]
        }
        val buffer = ByteBuffer.wrap(bytes)
        buffer.position(before)
        return Plane(buffer, rowStride, pixelStride)
    }

    /** Computes JFIF's color conversion in floating point. */
    private fun jfif(y: Int, u: Int, v: Int): List<Double> = listOf(
        y + 1.402 * (v - 128),
        y - 0.344136 * (u - 128) - 0.714136 * (v - 128),
        y + 1.772 * (u - 128),
    ).map { it.coerceIn(0.0, 255.0) }

    @Test
    fun `colors follow JPEG's matrix, rounded`() {
        for (y in 0..255 step 5) for (u in 0..255 step 17) for (v in 0..255 step 15) {
            val actual = pixel(y, u, v)
            jfif(y, u, v).forEachIndexed { channel, expected ->
                val value = actual ushr 16 - 8 * channel and 0xFF
                assertTrue(abs(value - expected) <= 0.503, "$y $u $v: channel $channel is $value, not $expected")
            }
        }
    }

    @Test
    fun `black, white and gray stay neutral`() {
        for (gray in listOf(0, 77, 255)) assertEquals(gray * 0x010101, pixel(gray, 128, 128))
    }

    @Test
    fun `strides are skipped, and odd sides have their own chroma`() {
        for ((width, height) in listOf(4 to 4, 5 to 3, 1 to 2, 7 to 1)) {
            val (columns, rows) = (width + 1) / 2 to (height + 1) / 2
            val random = Random(width)
            val (y, u, v) = listOf(width * height, columns * rows, columns * rows).map { random.nextBytes(it) }
            val packed = Frame(
                width,
                height,
                gapped(y, width, width, 1, 0),
                gapped(u, columns, columns, 1, 0),
                gapped(v, columns, columns, 1, 0),
            )
            val loose = Frame(
                width,
                height,
                gapped(y, width, width + 9, 1, 3),
                gapped(u, columns, 2 * columns + 6, 2, 1),
                gapped(v, columns, 2 * columns + 6, 2, 0),
            )
            assertContentEquals(packed.toPicture().pixels, loose.toPicture().pixels, "$width x $height")
            val last = (width * height - 1).let { place ->
                val color = place / width / 2 * columns + place % width / 2
                pixel(y[place].toInt() and 0xFF, u[color].toInt() and 0xFF, v[color].toInt() and 0xFF)
            }
            assertEquals(last, loose.toPicture().pixels.last())
        }
    }

    @Test
    fun `a frame is rotated upright, and its buffers do not change`() {
        val y = plane(10, 20, 30, 40, 50, 60).let { Plane(it.bytes, 3, 1) }
        val color = plane(128, 128).let { Plane(it.bytes, 2, 1) }
        val frame = Frame(3, 2, y, color, color)
        assertEquals(listOf(40, 10, 50, 20, 60, 30), frame.toPicture(clockwise = 90).pixels.map { it and 0xFF })
        assertEquals(2, frame.toPicture(clockwise = 270).width)
        assertEquals(0, y.bytes.position())
        assertEquals(6, y.bytes.remaining())
    }

    @Test
    fun `a short plane and a frame without pixels are rejected`() {
        val color = plane(128)
        val error = assertFailsWith<UnsupportedInput> { Frame(2, 2, Plane(plane(1, 2, 3).bytes, 2, 1), color, color) }
        assertEquals("A plane of the frame has 3 bytes.", error.what)
        assertFailsWith<UnsupportedInput> { Frame(0, 2, color, color, color) }
    }

    @Test
    fun `planes that cannot be in YUV 420 are rejected`() {
        val color = plane(128)
        assertFailsWith<UnsupportedInput> { Frame(1, 1, listOf(color, color)) }
        assertFailsWith<UnsupportedInput> { Frame(2, 1, Plane(plane(1, 2, 3).bytes, 4, 2), color, color) }
        assertFailsWith<UnsupportedInput> { Frame(2, 2, Plane(plane(1, 2, 3, 4).bytes, 1, 1), color, color) }
    }
}

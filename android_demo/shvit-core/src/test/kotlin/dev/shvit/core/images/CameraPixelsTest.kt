package dev.shvit.core.images

import dev.shvit.core.ShvitException.UnsupportedInput
import java.nio.ByteBuffer
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class CameraPixelsTest {
    private val random = Random(3)

    private fun plane(width: Int, height: Int, pixelStride: Int): Plane {
        val rowStride = width * pixelStride + 5
        return Plane(ByteBuffer.wrap(random.nextBytes(7 + rowStride * height)).also { it.position(7) }, rowStride, pixelStride)
    }

    private val yuv = listOf(plane(6, 4, 1), plane(3, 2, 2), plane(3, 2, 2))
    private val rgba = listOf(plane(6, 4, 4))

    /** Returns a part of a picture's pixels. */
    private fun Picture.part(left: Int, top: Int, right: Int, bottom: Int): List<Int> =
        (top until bottom).flatMap { row -> (left until right).map { pixels[row * width + it] } }

    @Test
    fun `both formats of a camera are read`() {
        assertContentEquals(Frame(6, 4, yuv).toPicture().pixels, cameraPixels(35, 6, 4, yuv).toPicture().pixels)
        val expected = RgbaPixels(6, 4, rgba[0].bytes, rgba[0].rowStride).toPicture()
        assertContentEquals(expected.pixels, cameraPixels(1, 6, 4, rgba).toPicture().pixels)
    }

    @Test
    fun `a part is what the whole frame shows there`() {
        for ((format, planes) in listOf(35 to yuv, 1 to rgba)) {
            val whole = cameraPixels(format, 6, 4, planes).toPicture()
            val part = cameraPixels(format, 6, 4, planes, Part(2, 2, 5, 3)).toPicture()
            assertEquals(whole.part(2, 2, 5, 3), part.pixels.toList())
        }
    }

    @Test
    fun `a part with an odd corner begins at its chroma`() {
        val part = cameraPixels(35, 6, 4, yuv, Part(3, 1, 6, 4)).toPicture()
        assertEquals(4 to 4, part.width to part.height)
        assertEquals(cameraPixels(35, 6, 4, yuv).toPicture().part(2, 0, 6, 4), part.pixels.toList())
    }

    @Test
    fun `other formats, planes and parts are rejected`() {
        assertFailsWith<UnsupportedInput> { cameraPixels(256, 6, 4, yuv) }
        assertFailsWith<UnsupportedInput> { cameraPixels(1, 6, 4, yuv) }
        assertFailsWith<UnsupportedInput> { cameraPixels(35, 6, 4, rgba) }
        for (part in listOf(Part(-1, 0, 6, 4), Part(0, 0, 7, 4), Part(0, 0, 6, 5), Part(3, 0, 3, 4), Part(0, 2, 6, 2))) {
            assertFailsWith<UnsupportedInput> { cameraPixels(35, 6, 4, yuv, part) }
        }
        val short = listOf(Plane(ByteBuffer.allocate(8), 24, 4))
        assertFailsWith<UnsupportedInput> { cameraPixels(1, 6, 4, short, Part(0, 2, 6, 4)) }
    }
}

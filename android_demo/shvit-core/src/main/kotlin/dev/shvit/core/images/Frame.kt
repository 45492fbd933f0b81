package dev.shvit.core.images

import dev.shvit.core.BadPicture
import java.nio.ByteBuffer

/**
 * A plane of a camera frame, like Android's `Image.Plane`.
 *
 * @property bytes The bytes from the plane's first pixel on; the last row may end with its last pixel.
 * @property rowStride Bytes from one row to the next.
 * @property pixelStride Bytes from one pixel to the next: 2 if two chroma planes share a buffer.
 */
class Plane(val bytes: ByteBuffer, val rowStride: Int, val pixelStride: Int)

/**
 * A camera frame in YUV 4:2:0: the luma of each pixel, and two chroma planes of half the size.
 *
 * @property width The width in memory, in pixels; [height] likewise.
 * @throws BadPicture If it has no pixels, or a plane has too few bytes.
 */
class Frame(val width: Int, val height: Int, y: Plane, u: Plane, v: Plane) {
    private val brightness = samples(y, width, height)
    private val blue = samples(u, (width + 1) / 2, (height + 1) / 2)
    private val red = samples(v, (width + 1) / 2, (height + 1) / 2)

    /**
     * Converts the frame to RGB with the full-range JPEG matrix (BT.601), which Android's cameras use for
     * `YUV_420_888`. A pixel gets the chroma of its 2x2 block.
     *
     * @param clockwise The rotation that makes the frame upright, in degrees; a multiple of 90.
     */
    fun toPicture(clockwise: Int = 0): Picture {
        val colors = (width + 1) / 2
        val pixels = IntArray(width * height) { place ->
            val (row, column) = place / width to place % width
            val color = row / 2 * colors + column / 2
            rgb(unsigned(brightness[place]), unsigned(blue[color]) - 128, unsigned(red[color]) - 128)
        }
        return Orientation.fromDegrees(clockwise).upright(Picture(width, height, pixels))
    }

    /** Returns the samples of a plane without gaps. The buffer's position does not change. */
    private fun samples(plane: Plane, width: Int, height: Int): ByteArray {
        if (width < 1 || height < 1) throw BadPicture("The frame is $width x $height.", "It needs at least one pixel.")
        val bytes = plane.bytes.duplicate()
        val length = (width - 1) * plane.pixelStride + 1
        val start = bytes.position()
        if (start + (height - 1L) * plane.rowStride + length > bytes.limit()) {
            throw BadPicture(
                "A plane of the frame has ${bytes.remaining()} bytes.",
                "$height rows of $width samples, ${plane.rowStride} and ${plane.pixelStride} bytes apart, need more.",
            )
        }
        val row = ByteArray(length)
        val samples = ByteArray(width * height)
        for (line in 0 until height) {
            bytes.position(start + line * plane.rowStride)
            bytes.get(row)
            for (column in 0 until width) samples[line * width + column] = row[column * plane.pixelStride]
        }
        return samples
    }

    private fun unsigned(byte: Byte): Int = byte.toInt() and 0xFF

    /** R = Y + 1.402 V, G = Y - 0.344136 U - 0.714136 V, B = Y + 1.772 U, each rounded, in units of 1/65536. */
    private fun rgb(y: Int, u: Int, v: Int): Int {
        val scaled = (y shl FRACTION) + HALF
        val red = scaled + 91881 * v shr FRACTION
        val green = scaled - 22554 * u - 46802 * v shr FRACTION
        val blue = scaled + 116130 * u shr FRACTION
        return red.coerceIn(0, 255) shl 16 or (green.coerceIn(0, 255) shl 8) or blue.coerceIn(0, 255)
    }

    private companion object {
        const val FRACTION = 16
        const val HALF = 1 shl FRACTION - 1
    }
}

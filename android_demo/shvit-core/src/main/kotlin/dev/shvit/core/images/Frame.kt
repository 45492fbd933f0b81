package dev.shvit.core.images

import dev.shvit.core.ShvitException.UnsupportedInput
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
 * Its colors are converted with the full-range JPEG matrix (BT.601), which Android's cameras use for `YUV_420_888`. A
 * pixel gets the chroma of its 2x2 block. It reads the camera's buffers, so use it while these are valid, from one
 * thread.
 *
 * @param planes Luma, blue chroma and red chroma (Y, U, V), in the order of Android's `Image.getPlanes`.
 * @throws UnsupportedInput If it has no pixels, not three planes, or a plane has too few bytes.
 */
class Frame(width: Int, height: Int, planes: List<Plane>) : PixelSource(width, height) {
    private val luma: Rows
    private val blue: Rows
    private val red: Rows
    private val chromaSteps: IntArray

    /** Takes the planes one by one. */
    constructor(width: Int, height: Int, y: Plane, u: Plane, v: Plane) : this(width, height, listOf(y, u, v))

    init {
        if (planes.size != PLANES) throw UnsupportedInput(
            "The frame has ${planes.size} planes.",
            "YUV_420_888 has three.",
        )
        val (y, u, v) = planes
        if (y.pixelStride != 1) {
            throw UnsupportedInput(
                "The luma's samples are ${y.pixelStride} bytes apart.",
                "In YUV_420_888 they have no gaps.",
            )
        }
        luma = Rows(y, width, height, 1)
        blue = Rows(u, (width + 1) / 2, (height + 1) / 2, 1)
        red = Rows(v, (width + 1) / 2, (height + 1) / 2, 1)
        chromaSteps = intArrayOf(u.pixelStride, v.pixelStride)
    }

    /**
     * Converts the whole frame to RGB. Preprocessing does not need this: it reads the frame itself.
     *
     * @param clockwise The rotation that makes the frame upright, in degrees; a multiple of 90.
     */
    fun toPicture(clockwise: Int): Picture = toPicture(Orientation.fromDegrees(clockwise))

    /** R = Y + 1.402 V, G = Y - 0.344136 U - 0.714136 V, B = Y + 1.772 U, each rounded, in units of 1/65536. */
    override fun read(row: Int, first: Int, count: Int, into: IntArray, at: Int, step: Int, plane: Int) {
        val begin = first / 2
        val colors = (first + count - 1) / 2 - begin + 1
        val ys = luma.read(row, first, count)
        val us = blue.read(row / 2, begin, colors)
        val vs = red.read(row / 2, begin, colors)
        val (stepU, stepV) = chromaSteps
        var place = at
        var index = 0
        var next = 2 - (first and 1)
        for (color in 0 until colors) {
            val u = (us[color * stepU].toInt() and 0xFF) - 128
            val v = (vs[color * stepV].toInt() and 0xFF) - 128
            val toRed = HALF + 91881 * v
            val toGreen = HALF - 22554 * u - 46802 * v
            val toBlue = HALF + 116130 * u
            val end = Math.min(next, count)
            while (index < end) {
                val y = (ys[index].toInt() and 0xFF) shl FRACTION
                into[place] = clamp(y + toRed shr FRACTION)
                into[place + plane] = clamp(y + toGreen shr FRACTION)
                into[place + 2 * plane] = clamp(y + toBlue shr FRACTION)
                place += step
                index++
            }
            next += 2
        }
    }

    private fun clamp(value: Int): Int = Math.min(Math.max(value, 0), 255)

    private companion object {
        const val PLANES = 3
        const val FRACTION = 16
        const val HALF = 1 shl FRACTION - 1
    }
}

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
        var color = 0
        if (first and 1 == 1) {
            put(ys[0], us[0], vs[0], into, place, plane)
            place += step
            index = 1
            color = 1
        }
        while (index + 1 < count) {
            val u = (us[color * stepU].toInt() and 0xFF) - 128
            val v = (vs[color * stepV].toInt() and 0xFF) - 128
            val toRed = HALF + TO_RED * v
            val toGreen = HALF - U_TO_GREEN * u - V_TO_GREEN * v
            val toBlue = HALF + TO_BLUE * u
            val one = (ys[index].toInt() and 0xFF) shl FRACTION
            val other = (ys[index + 1].toInt() and 0xFF) shl FRACTION
            into[place] = one + toRed
            into[place + plane] = one + toGreen
            into[place + 2 * plane] = one + toBlue
            into[place + step] = other + toRed
            into[place + step + plane] = other + toGreen
            into[place + step + 2 * plane] = other + toBlue
            place += 2 * step
            index += 2
            color++
        }
        if (index < count) put(ys[index], us[color * stepU], vs[color * stepV], into, place, plane)
        round(into, at, count, step)
        round(into, at + plane, count, step)
        round(into, at + 2 * plane, count, step)
    }

    private fun put(luma: Byte, blue: Byte, red: Byte, into: IntArray, place: Int, plane: Int) {
        val y = (luma.toInt() and 0xFF shl FRACTION) + HALF
        val u = (blue.toInt() and 0xFF) - 128
        val v = (red.toInt() and 0xFF) - 128
        into[place] = y + TO_RED * v
        into[place + plane] = y - U_TO_GREEN * u - V_TO_GREEN * v
        into[place + 2 * plane] = y + TO_BLUE * u
    }

    /** Rounds the values of a part of a row, in units of 1/65536, to numbers from 0 to 255. */
    private fun round(values: IntArray, at: Int, count: Int, step: Int) {
        if (step == 1) return clamp(values, at, count, FRACTION)
        if (step == -1) return clamp(values, at - count + 1, count, FRACTION)
        for (index in 0 until count) clamp(values, at + index * step, 1, FRACTION)
    }

    private companion object {
        const val PLANES = 3
        const val FRACTION = 16
        const val HALF = 1 shl FRACTION - 1
        const val TO_RED = 91881
        const val U_TO_GREEN = 22554
        const val V_TO_GREEN = 46802
        const val TO_BLUE = 116130
    }
}

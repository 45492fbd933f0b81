package dev.shvit.core.images

import dev.shvit.core.ShvitException.UnsupportedInput
import java.nio.ByteBuffer

/**
 * Pixels where they lie: a decoded picture, a camera frame, or the bytes of a bitmap. Preprocessing reads only the rows
 * and columns that a model needs, without a copy in between.
 *
 * @property width The width in memory, in pixels; [height] likewise.
 * @throws UnsupportedInput If it has no pixels.
 */
abstract class PixelSource internal constructor(val width: Int, val height: Int) {
    init {
        if (width < 1 || height < 1) throw UnsupportedInput(
            "The picture is $width x $height.",
            "It needs at least one pixel.",
        )
    }

    /**
     * Writes a part of a row as numbers from 0 to 255: the pixel number i's red to `into[at + i * step]`, its green
     * [plane] numbers further, its blue twice as far.
     */
    internal abstract fun read(row: Int, first: Int, count: Int, into: IntArray, at: Int, step: Int, plane: Int)

    /**
     * Returns a copy of all pixels, upright.
     *
     * @param reduction What each side was divided by when the pixels were decoded.
     */
    fun toPicture(orientation: Orientation = Orientation.UPRIGHT, reduction: Int = 1): Picture {
        val target = if (orientation.sideways) height else width
        val line = IntArray(COLORS * width)
        val pixels = IntArray(Math.multiplyExact(width, height))
        for (row in 0 until height) {
            read(row, 0, width, line, 0, 1, width)
            val along = if (orientation.rowsReversed) height - 1 - row else row
            var place = if (orientation.sideways) along else along * target
            val step = if (orientation.sideways) target else 1
            val back = if (orientation.columnsReversed) -step else step
            if (orientation.columnsReversed) place += (width - 1) * step
            for (column in 0 until width) {
                pixels[place] = line[column] shl 16 or (line[width + column] shl 8) or line[2 * width + column]
                place += back
            }
        }
        return Picture(target, if (orientation.sideways) width else height, pixels, reduction)
    }

    internal companion object {
        /** Numbers per pixel: red, green, blue. */
        const val COLORS = 3
    }
}

/**
 * The bytes of a bitmap, or of a camera frame in RGBA: red, green, blue, alpha. Transparency is laid on white, as the
 * exporter does. The colors are taken as they are, in whatever color space, as Python and the iOS app take them.
 *
 * Not thread-safe. The bytes must not change while they are read.
 *
 * @property bytes The bytes from the first pixel on; the last row may end with its last pixel.
 * @param rowStride Bytes from one row to the next.
 * @param premultiplied Whether the colors have been multiplied by alpha.
 * @throws UnsupportedInput If there are too few bytes.
 */
class RgbaPixels(
    width: Int,
    height: Int,
    val bytes: ByteBuffer,
    private val rowStride: Int = 4 * width,
    private val premultiplied: Boolean = false,
) : PixelSource(width, height) {
    private val rows = Rows(Plane(bytes, rowStride, BYTES), width, height, BYTES)

    /** Returns the upper left corner of these pixels, in the same memory. */
    fun corner(width: Int, height: Int): RgbaPixels = RgbaPixels(width, height, bytes, rowStride, premultiplied)

    override fun read(row: Int, first: Int, count: Int, into: IntArray, at: Int, step: Int, plane: Int) {
        val line = rows.read(row, first, count)
        var place = at
        var index = 0
        while (index < BYTES * count) {
            val alpha = line[index + 3].toInt() and 0xFF
            val red = line[index].toInt() and 0xFF
            val green = line[index + 1].toInt() and 0xFF
            val blue = line[index + 2].toInt() and 0xFF
            if (alpha == 255) {
                into[place] = red
                into[place + plane] = green
                into[place + 2 * plane] = blue
            } else {
                into[place] = onWhite(red, alpha)
                into[place + plane] = onWhite(green, alpha)
                into[place + 2 * plane] = onWhite(blue, alpha)
            }
            place += step
            index += BYTES
        }
    }

    private fun onWhite(color: Int, alpha: Int): Int =
        if (premultiplied) Math.min(color + 255 - alpha, 255) else laidOnWhite(color, alpha)

    private companion object {
        const val BYTES = 4
    }
}

/**
 * Checks that a bitmap holds colors whose values can be taken as they are: 8 bits or fewer, not linear, at most white.
 *
 * @param config The name of its configuration, after Android's `Bitmap.Config`.
 * @throws UnsupportedInput If it does not.
 */
fun checkBitmap(config: String?) {
    if (config !in setOf("ARGB_8888", "RGB_565", "ARGB_4444", "HARDWARE")) {
        throw UnsupportedInput(
            "The bitmap's pixels are ${config ?: "of an unknown kind"}.",
            "Values of 10 and 16 bits may be linear, or brighter than white; ALPHA_8 has no colors.",
            "Draw it on a bitmap in ARGB_8888.",
        )
    }
}

/** Returns a color over white, divided by 255 with the rounding of Pillow's `paste`. */
internal fun laidOnWhite(color: Int, alpha: Int): Int {
    val sum = color * alpha + 255 * (255 - alpha) + 128
    return sum + (sum ushr 8) ushr 8
}

/**
 * Reads rows of a plane into an array that is used again.
 *
 * @param width The samples in a row; [height] is the number of rows.
 * @param sample The bytes of a sample.
 * @throws UnsupportedInput If the plane has too few bytes, or its samples or rows overlap.
 */
internal class Rows(private val plane: Plane, width: Int, height: Int, private val sample: Int) {
    // Of its own, so that the position of the caller's buffer does not change.
    private val bytes = plane.bytes.duplicate()
    private val start = bytes.position()
    private val line = ByteArray((width - 1) * plane.pixelStride + sample)

    init {
        if (plane.pixelStride < sample || (height > 1 && plane.rowStride < line.size)) {
            throw UnsupportedInput(
                "A plane's rows are ${plane.rowStride} bytes apart, its samples ${plane.pixelStride}.",
                "$width samples in a row need more.",
            )
        }
        if (start + (height - 1L) * plane.rowStride + line.size > bytes.limit()) {
            throw UnsupportedInput(
                "A plane of the frame has ${bytes.remaining()} bytes.",
                "$height rows of $width samples, ${plane.rowStride} and ${plane.pixelStride} bytes apart, need more.",
            )
        }
    }

    /** Returns the samples of a part of a row, each [Plane.pixelStride] bytes after the last; valid until the next. */
    fun read(row: Int, first: Int, count: Int): ByteArray {
        bytes.position(start + row * plane.rowStride + first * plane.pixelStride)
        bytes.get(line, 0, (count - 1) * plane.pixelStride + sample)
        return line
    }
}

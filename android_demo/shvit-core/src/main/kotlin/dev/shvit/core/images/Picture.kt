package dev.shvit.core.images

import dev.shvit.core.ShvitException.UnsupportedInput

/**
 * A decoded, upright, opaque picture.
 *
 * @property pixels 0xRRGGBB in the order rows, columns; the upper eight bits are ignored.
 * @property reduction What each side was divided by when the picture was decoded: see [chooseReduction].
 * @throws UnsupportedInput If it has no pixels, or not [width] x [height] of them.
 */
class Picture(width: Int, height: Int, val pixels: IntArray, val reduction: Int = 1) : PixelSource(width, height) {
    init {
        if (pixels.size.toLong() != width.toLong() * height) {
            throw UnsupportedInput(
                "The picture has ${pixels.size} pixels and should be $width x $height.",
                "It needs one number per pixel.",
            )
        }
    }

    override fun read(row: Int, first: Int, count: Int, into: IntArray, at: Int, step: Int, plane: Int) {
        val begin = row * width + first
        var place = at
        for (index in begin until begin + count) {
            val pixel = pixels[index]
            into[place] = pixel ushr 16 and 0xFF
            into[place + plane] = pixel ushr 8 and 0xFF
            into[place + 2 * plane] = pixel and 0xFF
            place += step
        }
    }

    companion object {
        /**
         * Lays a picture with transparency on white, as the exporter does.
         *
         * @param pixels 0xAARRGGBB, not premultiplied.
         */
        fun onWhite(width: Int, height: Int, pixels: IntArray): Picture =
            Picture(width, height, IntArray(pixels.size) { laidOnWhite(pixels[it]) })

        /**
         * Converts bytes in the order rows, columns, red, green, blue.
         *
         * @throws UnsupportedInput If there are not [width] x [height] x 3 bytes.
         */
        fun fromRgb(width: Int, height: Int, bytes: ByteArray): Picture {
            if (bytes.size % COLORS != 0) {
                throw UnsupportedInput(
                    "The picture has ${bytes.size} bytes.",
                    "Each pixel needs three: red, green, blue.",
                )
            }
            val pixels = IntArray(bytes.size / COLORS) { index ->
                fun color(channel: Int) = bytes[index * COLORS + channel].toInt() and 0xFF
                color(0) shl 16 or (color(1) shl 8) or color(2)
            }
            return Picture(width, height, pixels)
        }

        private fun laidOnWhite(pixel: Int): Int {
            val alpha = pixel ushr 24
            if (alpha == 255) return pixel
            val red = laidOnWhite(pixel ushr 16 and 0xFF, alpha)
            val green = laidOnWhite(pixel ushr 8 and 0xFF, alpha)
            return red shl 16 or (green shl 8) or laidOnWhite(pixel and 0xFF, alpha)
        }
    }
}

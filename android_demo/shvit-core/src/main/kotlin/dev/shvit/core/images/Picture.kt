package dev.shvit.core.images

import dev.shvit.core.BadPicture

/**
 * A decoded, upright, opaque picture.
 *
 * @property width The width in pixels.
 * @property height The height in pixels.
 * @property pixels 0xRRGGBB in the order rows, columns; the upper eight bits are ignored.
 * @throws BadPicture If it has no pixels, or not [width] x [height] of them.
 */
class Picture(val width: Int, val height: Int, val pixels: IntArray) {
    init {
        if (width < 1 || height < 1 || pixels.size.toLong() != width.toLong() * height) {
            throw BadPicture(
                "The picture has ${pixels.size} pixels and should be $width x $height.",
                "Width and height must be at least 1, with one number per pixel.",
            )
        }
    }

    companion object {
        /** Bytes per pixel: red, green, blue. */
        internal const val COLORS = 3

        /**
         * Lays a picture with transparency on white, as the exporter does.
         *
         * @param pixels 0xAARRGGBB, not premultiplied: the output of Android's `Bitmap.getPixels`.
         */
        fun onWhite(width: Int, height: Int, pixels: IntArray): Picture =
            Picture(width, height, IntArray(pixels.size) { laidOnWhite(pixels[it]) })

        /**
         * Converts bytes in the order rows, columns, red, green, blue.
         *
         * @throws BadPicture If there are not [width] x [height] x 3 bytes.
         */
        fun fromRgb(width: Int, height: Int, bytes: ByteArray): Picture {
            if (bytes.size % COLORS != 0) {
                throw BadPicture("The picture has ${bytes.size} bytes.", "Each pixel needs three: red, green, blue.")
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
            val red = blend(pixel ushr 16 and 0xFF, alpha)
            val green = blend(pixel ushr 8 and 0xFF, alpha)
            return red shl 16 or (green shl 8) or blend(pixel and 0xFF, alpha)
        }

        /** Returns a color over white, divided by 255 with the rounding of Pillow's `paste`. */
        private fun blend(color: Int, alpha: Int): Int {
            val sum = color * alpha + 255 * (255 - alpha) + 128
            return sum + (sum ushr 8) ushr 8
        }
    }
}

package dev.shvit.core.images

import dev.shvit.core.BadPicture

/**
 * A decoded, upright picture, opaque.
 *
 * @property width of the picture, in pixels.
 * @property height of the picture, in pixels.
 * @property pixels 0xRRGGBB in the order of rows, then columns; the upper eight bits do not count.
 * @throws BadPicture it has no pixels, or not [width] x [height] of them.
 */
class Picture(val width: Int, val height: Int, val pixels: IntArray) {
    init {
        if (width < 1 || height < 1 || pixels.size.toLong() != width.toLong() * height) {
            throw BadPicture(
                "The picture holds ${pixels.size} pixels and should be $width x $height.",
                "Width and height are at least 1, and each pixel is one number.",
            )
        }
    }

    companion object {
        /** The bytes of a pixel where there are three: red, green, blue. */
        internal const val COLOURS = 3

        /**
         * A picture with transparency, laid on white as the exporter does.
         *
         * @param pixels 0xAARRGGBB, colours not multiplied by alpha: what Android's `Bitmap.getPixels` gives.
         */
        fun onWhite(width: Int, height: Int, pixels: IntArray): Picture =
            Picture(width, height, IntArray(pixels.size) { laidOnWhite(pixels[it]) })

        /**
         * A picture of raw bytes: rows, columns, red, green, blue.
         *
         * @throws BadPicture there are not [width] x [height] x 3 of them.
         */
        fun ofRgb(width: Int, height: Int, bytes: ByteArray): Picture {
            if (bytes.size % COLOURS != 0) {
                throw BadPicture("The picture holds ${bytes.size} bytes.", "Each pixel is three: red, green, blue.")
            }
            val pixels = IntArray(bytes.size / COLOURS) { index ->
                fun colour(channel: Int) = bytes[index * COLOURS + channel].toInt() and 0xFF
                colour(0) shl 16 or (colour(1) shl 8) or colour(2)
            }
            return Picture(width, height, pixels)
        }

        private fun laidOnWhite(pixel: Int): Int {
            val alpha = pixel ushr 24
            if (alpha == 255) return pixel
            val red = blended(pixel ushr 16 and 0xFF, alpha)
            val green = blended(pixel ushr 8 and 0xFF, alpha)
            return red shl 16 or (green shl 8) or blended(pixel and 0xFF, alpha)
        }

        /** A colour over white, divided by 255 with the rounding of Pillow's `paste`. */
        private fun blended(colour: Int, alpha: Int): Int {
            val sum = colour * alpha + 255 * (255 - alpha) + 128
            return sum + (sum ushr 8) ushr 8
        }
    }
}

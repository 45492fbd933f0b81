package dev.shvit.core.images

import dev.shvit.core.BadPicture

/**
 * What a model sees of a picture.
 *
 * @property height in pixels.
 * @property width in pixels.
 * @property bytes 0 to 255 each, unsigned: rows, columns, channels in the order of the preprocessing.
 * @throws BadPicture there are not [height] x [width] x 3 bytes.
 */
class Pixels(val height: Int, val width: Int, val bytes: ByteArray) {
    init {
        if (height < 1 || width < 1 || bytes.size.toLong() != height.toLong() * width * CHANNELS) {
            throw BadPicture(
                "${bytes.size} bytes are not the pixels of $height rows and $width columns.",
                "Each pixel is three bytes, one a channel.",
            )
        }
    }

    /** The value at a row, column and channel, 0 to 255. */
    operator fun get(row: Int, column: Int, channel: Int): Int =
        bytes[(row * width + column) * CHANNELS + channel].toInt() and 0xFF

    /**
     * Mean absolute difference from other pixels, in steps of 0 to 255.
     *
     * @throws BadPicture they are not as high or not as wide.
     */
    fun differenceFrom(other: Pixels): Double {
        if (other.height != height || other.width != width) {
            throw BadPicture(
                "${other.height} x ${other.width} pixels cannot be compared with $height x $width.",
                "Both should be of the model's size.",
            )
        }
        val sum = bytes.indices.sumOf { Math.abs((bytes[it].toInt() and 0xFF) - (other.bytes[it].toInt() and 0xFF)) }
        return sum.toDouble() / bytes.size
    }

    companion object {
        const val CHANNELS = 3

        /** The picture that every artifact answers when it is made: (7 row + 3 column + 50 channel) mod 256. */
        fun ramp(height: Int, width: Int): Pixels {
            val bytes = ByteArray(height * width * CHANNELS) { index ->
                val row = index / CHANNELS / width
                val column = index / CHANNELS % width
                ((7 * row + 3 * column + 50 * (index % CHANNELS)) % 256).toByte()
            }
            return Pixels(height, width, bytes)
        }
    }
}

package dev.shvit.core.images

import dev.shvit.core.ShvitException.UnsupportedInput

/**
 * A picture after preprocessing, as the model sees it.
 *
 * @property height The height in pixels.
 * @property width The width in pixels.
 * @property bytes Unsigned values from 0 to 255 in the order rows, columns, channels.
 * @throws UnsupportedInput If there are not [height] x [width] x 3 bytes.
 */
class Pixels(val height: Int, val width: Int, val bytes: ByteArray) {
    init {
        if (height < 1 || width < 1 || bytes.size.toLong() != height.toLong() * width * CHANNELS) {
            throw UnsupportedInput(
                "${bytes.size} bytes do not fit $height rows and $width columns.",
                "Each pixel has three bytes, one per channel.",
            )
        }
    }

    /** Returns the value at a row, column and channel, from 0 to 255. */
    operator fun get(row: Int, column: Int, channel: Int): Int =
        bytes[(row * width + column) * CHANNELS + channel].toInt() and 0xFF

    /**
     * Returns the mean absolute difference from other pixels, from 0 to 255.
     *
     * @throws UnsupportedInput If the sizes differ.
     */
    fun differenceFrom(other: Pixels): Double {
        if (other.height != height || other.width != width) {
            throw UnsupportedInput(
                "${other.height} x ${other.width} pixels cannot be compared with $height x $width.",
                "Both must have the model's size.",
            )
        }
        val sum = bytes.indices.sumOf { Math.abs((bytes[it].toInt() and 0xFF) - (other.bytes[it].toInt() and 0xFF)) }
        return sum.toDouble() / bytes.size
    }

    companion object {
        /** Bytes per pixel. */
        const val CHANNELS = 3

        /** Returns the picture of every artifact's built-in golden: (7 row + 3 column + 50 channel) mod 256. */
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

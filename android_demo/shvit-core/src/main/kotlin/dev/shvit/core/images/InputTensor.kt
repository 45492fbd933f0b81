package dev.shvit.core.images

import dev.shvit.core.InvalidSettings
import dev.shvit.core.json.Word

/** The order of an image's values in an artifact's input: as an image, or in the blocks of a space-to-depth stem. */
enum class Layout(override val word: String) : Word {
    IMAGE("image"),
    SPACE_TO_DEPTH("space-to-depth"),
}

/**
 * Returns (pixel
 * 255 - mean)
 * std as float32, like the exporter, in the order channels, rows, columns.
 */
fun normalizedValues(pixels: Pixels, preprocessing: Preprocessing): FloatArray {
    val mean = preprocessing.mean.map(Double::toFloat)
    val std = preprocessing.std.map(Double::toFloat)
    return byChannel(pixels) { channel, value -> (value / 255f - mean[channel]) / std[channel] }
}

/** Returns the pixels from 0 to 255 for an artifact that normalizes, in the order channels, rows, columns. */
fun rawValues(pixels: Pixels): FloatArray = byChannel(pixels) { _, value -> value }

private inline fun byChannel(pixels: Pixels, value: (Int, Float) -> Float): FloatArray {
    val plane = pixels.height * pixels.width
    val values = FloatArray(Pixels.CHANNELS * plane)
    for (channel in 0 until Pixels.CHANNELS) {
        for (place in 0 until plane) {
            val pixel = pixels.bytes[place * Pixels.CHANNELS + channel].toInt() and 0xFF
            values[channel * plane + place] = value(channel, pixel.toFloat())
        }
    }
    return values
}

/**
 * Adds a border to an image and stacks each 2x2 block into channels.
 *
 * The border has two rows above and two columns on the left, plus one row below or column on the right if that side is
 * odd. Channel (2 row + column) 3 + color of a block holds that row, column and color.
 *
 * @param values The image's values in the order channels, rows, columns.
 * @param border The border's value in each channel: the mean in pixels, or zero after normalization.
 * @return 12 channels of ceil(height
 * 2) + 1 rows and ceil(width
 * 2) + 1 columns.
 */
fun spaceToDepth(values: FloatArray, height: Int, width: Int, border: List<Double>): FloatArray {
    if (values.size != Pixels.CHANNELS * height * width || border.size != Pixels.CHANNELS) {
        throw InvalidSettings(
            "${values.size} values and a border of ${border.size} do not fit an image of $height x $width.",
            "Three channels are required.",
        )
    }
    val rows = blocks(height)
    val columns = blocks(width)
    val stacked = FloatArray(BLOCK * BLOCK * Pixels.CHANNELS * rows * columns)
    for (channel in 0 until BLOCK * BLOCK * Pixels.CHANNELS) {
        val color = channel % Pixels.CHANNELS
        val down = channel / Pixels.CHANNELS / BLOCK
        val across = channel / Pixels.CHANNELS % BLOCK
        val nothing = border[color].toFloat()
        for (blockRow in 0 until rows) {
            val row = BLOCK * (blockRow - 1) + down
            for (blockColumn in 0 until columns) {
                val column = BLOCK * (blockColumn - 1) + across
                val inside = row in 0 until height && column in 0 until width
                stacked[(channel * rows + blockRow) * columns + blockColumn] =
                    if (inside) values[(color * height + row) * width + column] else nothing
            }
        }
    }
    return stacked
}

private const val BLOCK = 2

/** Returns the number of blocks that cover a side with its border. */
private fun blocks(side: Int): Int = (side + 1) / BLOCK + 1

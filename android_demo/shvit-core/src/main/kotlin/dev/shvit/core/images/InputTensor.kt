package dev.shvit.core.images

import dev.shvit.core.WrongSettings
import dev.shvit.core.json.Word

/** How the values of an image lie in an artifact's input: as an image, or in the blocks of a space-to-depth stem. */
enum class Layout(override val word: String) : Word {
    IMAGE("image"),
    SPACE_TO_DEPTH("space-to-depth"),
}

/** (pixel / 255 - mean) / std of each channel, in the order channels, rows, columns: float32 as the exporter's. */
fun normalised(pixels: Pixels, preprocessing: Preprocessing): FloatArray {
    val mean = preprocessing.mean.map(Double::toFloat)
    val std = preprocessing.std.map(Double::toFloat)
    return byChannel(pixels) { channel, value -> (value / 255f - mean[channel]) / std[channel] }
}

/** Pixels 0 to 255 for an artifact that normalises itself, in the order channels, rows, columns. */
fun raw(pixels: Pixels): FloatArray = byChannel(pixels) { _, value -> value }

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
 * An image with a border, each block of 2x2 positions stacked into channels.
 *
 * The border is two rows above and two columns on the left, and one more below and on the right where a side is odd.
 * Channel (2 row + column) 3 + colour of a block holds that row, column and colour of it.
 *
 * @param values in the order channels, rows, columns.
 * @param border what stands for nothing in each colour: the mean in pixels, zero after normalisation.
 * @return 12 channels of ceil(height / 2) + 1 rows and ceil(width / 2) + 1 columns.
 */
fun spaceToDepth(values: FloatArray, height: Int, width: Int, border: List<Double>): FloatArray {
    if (values.size != Pixels.CHANNELS * height * width || border.size != Pixels.CHANNELS) {
        throw WrongSettings(
            "${values.size} values and a border of ${border.size} do not make blocks of $height x $width.",
            "There are three channels.",
        )
    }
    val rows = blocks(height)
    val columns = blocks(width)
    val stacked = FloatArray(BLOCK * BLOCK * Pixels.CHANNELS * rows * columns)
    for (channel in 0 until BLOCK * BLOCK * Pixels.CHANNELS) {
        val colour = channel % Pixels.CHANNELS
        val down = channel / Pixels.CHANNELS / BLOCK
        val across = channel / Pixels.CHANNELS % BLOCK
        val nothing = border[colour].toFloat()
        for (blockRow in 0 until rows) {
            val row = BLOCK * (blockRow - 1) + down
            for (blockColumn in 0 until columns) {
                val column = BLOCK * (blockColumn - 1) + across
                val inside = row in 0 until height && column in 0 until width
                stacked[(channel * rows + blockRow) * columns + blockColumn] =
                    if (inside) values[(colour * height + row) * width + column] else nothing
            }
        }
    }
    return stacked
}

private const val BLOCK = 2

/** How many blocks cover a side and its border. */
private fun blocks(side: Int): Int = (side + 1) / BLOCK + 1

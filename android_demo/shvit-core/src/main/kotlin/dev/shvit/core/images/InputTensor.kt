package dev.shvit.core.images

import dev.shvit.core.ShvitException.InvalidDocument
import dev.shvit.core.ShvitException.InvalidSettings
import dev.shvit.core.ShvitException.UnsupportedInput
import dev.shvit.core.documents.InputContract
import dev.shvit.core.documents.InputValues
import dev.shvit.core.json.Word

/** The order of an image's values in an artifact's input: as an image, or in the blocks of a space-to-depth stem. */
enum class Layout(override val word: String) : Word {
    IMAGE("image"),
    SPACE_TO_DEPTH("space-to-depth"),
}

/**
 * Writes the values of an artifact's input tensor into arrays that are used again.
 *
 * Not thread-safe.
 *
 * @throws InvalidDocument If the artifact needs a border and its manifest does not contain it.
 */
class TensorValues(private val input: InputContract, preprocessing: Preprocessing) {
    private val plane = preprocessing.height * preprocessing.width
    private val blocks: Blocks? =
        if (input.layout == Layout.IMAGE) null else Blocks(preprocessing.height, preprocessing.width, border())
    private val image = FloatArray(Pixels.CHANNELS * plane)

    /** The value of each of a channel's 256 pixels. */
    private val table: FloatArray = FloatArray(Pixels.CHANNELS * LEVELS) { place ->
        val pixel = (place % LEVELS).toFloat()
        val channel = place / LEVELS
        val (mean, std) = preprocessing.mean[channel].toFloat() to preprocessing.std[channel].toFloat()
        if (input.values == InputValues.PIXELS) pixel else (pixel / 255f - mean) / std
    }

    /**
     * Returns the values for pixels, valid until the next call.
     *
     * @throws UnsupportedInput If the pixels have another size than the model's.
     */
    fun of(pixels: Pixels): FloatArray {
        if (pixels.bytes.size != image.size) {
            throw UnsupportedInput(
                "The image has ${pixels.height} x ${pixels.width} pixels.",
                "The model needs $plane in all.",
            )
        }
        val bytes = pixels.bytes
        for (channel in 0 until Pixels.CHANNELS) {
            var from = channel
            for (place in channel * plane until (channel + 1) * plane) {
                image[place] = table[channel * LEVELS + (bytes[from].toInt() and 0xFF)]
                from += Pixels.CHANNELS
            }
        }
        return blocks?.stack(image) ?: image
    }

    private fun border(): List<Double> = input.border ?: throw InvalidDocument(
        "The input '${input.name}' has the layout ${input.layout.word}, but no border.",
        "The manifest must contain the border's value in each channel.",
        "Export the model again.",
    )

    private companion object {
        const val LEVELS = 256
    }
}

/**
 * Adds a border to an image and stacks each 2x2 block into channels.
 *
 * The border has two rows above and two columns on the left, plus one row below or column on the right if that side is
 * odd. Channel (2 row + column) 3 + color of a block holds that row, column and color.
 *
 * @param border The border's value in each channel: the mean in pixels, or zero after normalization.
 * @throws InvalidSettings If the border has not three values.
 */
internal class Blocks(private val height: Int, private val width: Int, border: List<Double>) {
    private val rows = blocks(height)
    private val columns = blocks(width)
    private val stacked: FloatArray

    init {
        if (border.size != Pixels.CHANNELS) {
            throw InvalidSettings("The border has ${border.size} values.", "It needs one per channel.")
        }
        val plane = rows * columns
        stacked = FloatArray(SIDE * SIDE * Pixels.CHANNELS * plane) { border[it / plane % Pixels.CHANNELS].toFloat() }
    }

    /**
     * Returns 12 channels of ceil(height / 2) + 1 rows and ceil(width / 2) + 1 columns, valid until the next call.
     *
     * @param values The image's values in the order channels, rows, columns.
     */
    fun stack(values: FloatArray): FloatArray {
        for (channel in 0 until SIDE * SIDE * Pixels.CHANNELS) {
            val color = channel % Pixels.CHANNELS
            val across = channel / Pixels.CHANNELS % SIDE
            for (row in channel / Pixels.CHANNELS / SIDE until height step SIDE) {
                var place = (channel * rows + row / SIDE + 1) * columns + 1
                val begin = (color * height + row) * width
                for (from in begin + across until begin + width step SIDE) stacked[place++] = values[from]
            }
        }
        return stacked
    }

    private companion object {
        const val SIDE = 2

        /** Returns the number of blocks that cover a side with its border. */
        fun blocks(side: Int): Int = (side + 1) / SIDE + 1
    }
}

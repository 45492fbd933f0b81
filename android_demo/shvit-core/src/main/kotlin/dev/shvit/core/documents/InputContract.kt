package dev.shvit.core.documents

import dev.shvit.core.ShvitException.InvalidDocument
import dev.shvit.core.images.Layout
import dev.shvit.core.images.Pixels
import dev.shvit.core.images.Preprocessing
import dev.shvit.core.images.TensorValues
import dev.shvit.core.json.Fields
import dev.shvit.core.json.Json
import dev.shvit.core.json.Word
import dev.shvit.core.json.json
import dev.shvit.core.json.jsonObject
import dev.shvit.core.json.word

/** The type of an input: an image (Core ML), or a tensor. */
enum class InputKind(override val word: String) : Word {
    IMAGE("image"),
    TENSOR("tensor"),
}

/**
 * The range of the input values: pixels from 0 to 255 if the artifact normalizes, or (pixel
 * 255 - mean)
 * std.
 */
enum class InputValues(override val word: String) : Word {
    PIXELS("pixels"),
    NORMALIZED("normalised"),
}

/**
 * An artifact's input.
 *
 * @property name The input's name in the artifact.
 * @property shape (batch, 3, height, width), or (batch, 12, blocks down, blocks across); a batch of 0 is dynamic.
 * @property dtype The tensor's dtype; "uint8" for images.
 * @property border The border's value in each channel, for [Layout.SPACE_TO_DEPTH].
 */
data class InputContract(
    val name: String,
    val kind: InputKind,
    val values: InputValues,
    val shape: List<Int>,
    val dtype: String,
    val layout: Layout = Layout.IMAGE,
    val border: List<Double>? = null,
    val unknown: Map<String, Json> = emptyMap(),
) {
    /**
     * Returns the values of the input tensor for an image, in a new array; see [TensorValues] for many images.
     *
     * @throws InvalidDocument If the artifact needs a border and its manifest does not contain it.
     */
    fun tensor(pixels: Pixels, preprocessing: Preprocessing): FloatArray =
        TensorValues(this, preprocessing).of(pixels)

    internal fun json(): Json.Object = jsonObject(
        "name" to json(name),
        "kind" to json(kind),
        "values" to json(values),
        "shape" to json(shape) { json(it) },
        "dtype" to json(dtype),
        "layout" to json(layout),
        "border" to (border?.let { colors -> json(colors) { json(it) } } ?: Json.Null),
        unknown = unknown,
    )

    companion object {
        internal fun of(fields: Fields): InputContract = InputContract(
            name = fields.text("name"),
            kind = fields.word("kind"),
            values = fields.word("values"),
            shape = fields.counts("shape").also { if (it.size != 4) fields.fail("shape", "it must have four numbers") },
            dtype = fields.text("dtype"),
            layout = fields.orElse("layout", Layout.IMAGE) { fields.word(it) },
            border = fields.orElse("border", null) { name ->
                fields.numbers(name).also { if (it.size != 3) fields.fail(name, "it must have one number per channel") }
            },
            unknown = fields.unknown(),
        )
    }
}

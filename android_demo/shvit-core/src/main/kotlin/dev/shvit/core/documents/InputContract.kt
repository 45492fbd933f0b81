package dev.shvit.core.documents

import dev.shvit.core.BadModel
import dev.shvit.core.images.Layout
import dev.shvit.core.images.Pixels
import dev.shvit.core.images.Preprocessing
import dev.shvit.core.images.normalised
import dev.shvit.core.images.raw
import dev.shvit.core.images.spaceToDepth
import dev.shvit.core.json.Fields
import dev.shvit.core.json.Json
import dev.shvit.core.json.Word
import dev.shvit.core.json.json
import dev.shvit.core.json.jsonObject
import dev.shvit.core.json.word

/** Whether the runtime takes a picture's pixels itself (Core ML), or a tensor. */
enum class InputKind(override val word: String) : Word {
    IMAGE("image"),
    TENSOR("tensor"),
}

/** Pixels 0 to 255, where normalisation is inside the artifact, or (pixel / 255 - mean) / std. */
enum class InputValues(override val word: String) : Word {
    PIXELS("pixels"),
    NORMALISED("normalised"),
}

/**
 * How an artifact takes images.
 *
 * @property name of the input in the artifact.
 * @property shape (batch, 3, height, width), or (batch, 12, blocks down, blocks across); a batch of 0 is dynamic.
 * @property dtype of the tensor; "uint8" for images.
 * @property border under [Layout.SPACE_TO_DEPTH], what the border holds in each colour.
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
     * The values of one image as the artifact's tensor holds them.
     *
     * @throws BadModel the artifact wants a border, and its manifest does not say of what.
     */
    fun tensor(pixels: Pixels, preprocessing: Preprocessing): FloatArray {
        val image = if (values == InputValues.PIXELS) raw(pixels) else normalised(pixels, preprocessing)
        if (layout == Layout.IMAGE) return image
        val colours = border ?: throw BadModel(
            "The input '$name' is laid out as ${layout.word} and has no border.",
            "The manifest should say what the border holds in each colour.",
            "Export the model again.",
        )
        return spaceToDepth(image, pixels.height, pixels.width, colours)
    }

    fun json(): Json.Object = jsonObject(
        "name" to json(name),
        "kind" to json(kind),
        "values" to json(values),
        "shape" to json(shape) { json(it) },
        "dtype" to json(dtype),
        "layout" to json(layout),
        "border" to (border?.let { colours -> json(colours) { json(it) } } ?: Json.Null),
        unknown = unknown,
    )

    companion object {
        fun of(fields: Fields): InputContract = InputContract(
            name = fields.text("name"),
            kind = fields.word("kind"),
            values = fields.word("values"),
            shape = fields.counts("shape").also { if (it.size != 4) fields.fail("shape", "it has four numbers") },
            dtype = fields.text("dtype"),
            layout = fields.orElse("layout", Layout.IMAGE) { fields.word(it) },
            border = fields.orElse("border", null) { name ->
                fields.numbers(name).also { if (it.size != 3) fields.fail(name, "it has a number for each colour") }
            },
            unknown = fields.unknown(),
        )
    }
}

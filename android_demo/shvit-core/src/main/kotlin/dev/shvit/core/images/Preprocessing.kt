package dev.shvit.core.images

import dev.shvit.core.ShvitException.InvalidSettings
import dev.shvit.core.json.Fields
import dev.shvit.core.json.Json
import dev.shvit.core.json.Word
import dev.shvit.core.json.json
import dev.shvit.core.json.jsonObject
import dev.shvit.core.json.word

/** A resampling filter, with Pillow's names. */
enum class Interpolation(override val word: String) : Word {
    NEAREST("nearest"),
    BILINEAR("bilinear"),
    BICUBIC("bicubic"),
    LANCZOS("lanczos"),
}

/** The channel order that a model expects. */
enum class ChannelOrder(override val word: String) : Word {
    RGB("rgb"),
    BGR("bgr"),
}

/** Whether resizing keeps the aspect ratio of a picture. */
enum class ResizeMode(override val word: String) : Word {
    /** Keeps the ratio: the resized picture covers size / crop ratio. */
    COVER("cover"),

    /** Resizes both sides to size / crop ratio, like timm's crop mode "squash". */
    SQUASH("squash"),

    /** Keeps the ratio, shows all of the picture, and pads the rest of the input. */
    LETTERBOX("letterbox"),
}

/** Where a letterbox is padded. */
enum class Padding(override val word: String) : Word {
    /** On both sides of the picture, the odd pixel on the right or at the bottom. */
    CENTER("center"),

    /** Only on the right or at the bottom, as mmdet does. */
    END("end"),
}

/**
 * The preprocessing contract of a model: resize to size / crop ratio, center crop or pad, then (pixel / 255 - mean) / std.
 * The same as `shvit_mobile/contracts/preprocessing.py`.
 *
 * @property height The height of the model's input, in pixels; at most 2048.
 * @property width The width of the model's input, in pixels; at most 2048.
 * @property cropRatio The share of the resized picture's tighter side that the crop keeps; 0.1 to 1.
 * @property interpolation The filter, widened when it shrinks a picture, as in Pillow.
 * @property mean The mean of each channel in the order of [channelOrder], from 0 to 1.
 * @property std The standard deviation of each channel, like [mean]; 0.001 to 1.
 * @property resizeMode Whether resizing keeps the aspect ratio.
 * @property padding Where a letterbox is padded; null for other modes.
 * @property paddingValue The padding of a letterbox in each channel, 0 to 255, in the order of [channelOrder]; null for other
 *   modes.
 * @throws InvalidSettings If a number is out of range.
 */
data class Preprocessing(
    val height: Int = 224,
    val width: Int = 224,
    val cropRatio: Double = 0.875,
    val interpolation: Interpolation = Interpolation.BICUBIC,
    val mean: List<Double> = listOf(0.485, 0.456, 0.406),
    val std: List<Double> = listOf(0.229, 0.224, 0.225),
    val channelOrder: ChannelOrder = ChannelOrder.RGB,
    val resizeMode: ResizeMode = ResizeMode.COVER,
    val padding: Padding? = null,
    val paddingValue: List<Int>? = null,
) {
    init {
        if (height !in 1..2048 || width !in 1..2048) {
            throw InvalidSettings("The image size is $height x $width.", "Height and width must be 1 to 2048.")
        }
        if (cropRatio !in 0.1..1.0 || maxOf(height, width) / cropRatio > 4096) {
            throw InvalidSettings(
                "crop_ratio is $cropRatio.",
                "It must be 0.1 to 1, and size / crop_ratio at most 4096.",
            )
        }
        if (mean.size != 3 || mean.any { it !in 0.0..1.0 }) {
            throw InvalidSettings("mean is $mean.", "It needs three numbers from 0 to 1.")
        }
        if (std.size != 3 || std.any { it !in 0.001..1.0 }) {
            throw InvalidSettings("std is $std.", "It needs three numbers from 0.001 to 1.")
        }
        checkPadding()
    }

    private fun checkPadding() {
        if (resizeMode != ResizeMode.LETTERBOX) {
            if (padding != null) throw InvalidSettings("padding is ${padding.word}.", "Only a letterbox is padded.")
            if (paddingValue != null) throw InvalidSettings("padding_value is $paddingValue.", "Only a letterbox is padded.")
            return
        }
        if (padding == null) throw InvalidSettings("padding is missing.", "A letterbox is padded: center, end.")
        if (paddingValue == null || paddingValue.size != 3 || paddingValue.any { it !in 0..255 }) {
            throw InvalidSettings("padding_value is $paddingValue.", "It needs three numbers from 0 to 255.")
        }
        if (cropRatio != 1.0) throw InvalidSettings("crop_ratio is $cropRatio.", "A letterbox crops nothing.")
    }

    internal fun json(): Json.Object = jsonObject(
        "size" to json(listOf(height, width)) { json(it) },
        "crop_ratio" to json(cropRatio),
        "interpolation" to json(interpolation),
        "mean" to json(mean) { json(it) },
        "std" to json(std) { json(it) },
        "channel_order" to json(channelOrder),
        "resize_mode" to json(resizeMode),
        padding?.let { "padding" to json(it) },
        paddingValue?.let { value -> "padding_value" to json(value) { json(it) } },
    )

    companion object {
        /**
         * Reads a contract from a document. A missing field has its default.
         *
         * Unknown fields are rejected in every version, since they could change the pixels in an unknown way.
         */
        internal fun of(fields: Fields): Preprocessing {
            val standard = Preprocessing()
            val size = fields.orElse("size", listOf(standard.height, standard.width)) { fields.counts(it, least = 1) }
            if (size.size != 2) fields.fail("size", "it must be (height, width)")
            val preprocessing = try {
                Preprocessing(
                    height = size[0],
                    width = size[1],
                    cropRatio = fields.numberOrNull("crop_ratio") ?: standard.cropRatio,
                    interpolation = fields.orElse("interpolation", standard.interpolation) { fields.word(it) },
                    mean = fields.orElse("mean", standard.mean) { fields.numbers(it) },
                    std = fields.orElse("std", standard.std) { fields.numbers(it) },
                    channelOrder = fields.orElse("channel_order", standard.channelOrder) { fields.word(it) },
                    resizeMode = fields.orElse("resize_mode", standard.resizeMode) { fields.word(it) },
                    padding = fields.orElse("padding", null) { fields.word<Padding>(it) },
                    paddingValue = fields.orElse("padding_value", null) { fields.counts(it) },
                )
            } catch (reason: InvalidSettings) {
                fields.refuse(reason.message.orEmpty().replace("\n", " ").removeSuffix("."))
            }
            fields.close()
            return preprocessing
        }
    }
}

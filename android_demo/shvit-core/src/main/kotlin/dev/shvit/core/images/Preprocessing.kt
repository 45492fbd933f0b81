package dev.shvit.core.images

import dev.shvit.core.WrongSettings
import dev.shvit.core.json.Fields
import dev.shvit.core.json.Json
import dev.shvit.core.json.Word
import dev.shvit.core.json.json
import dev.shvit.core.json.jsonObject
import dev.shvit.core.json.word

/** The resampling filter, by Pillow's names. */
enum class Interpolation(override val word: String) : Word {
    NEAREST("nearest"),
    BILINEAR("bilinear"),
    BICUBIC("bicubic"),
    LANCZOS("lanczos"),
}

/** The order in which a model takes the colours. */
enum class ChannelOrder(override val word: String) : Word {
    RGB("rgb"),
    BGR("bgr"),
}

/**
 * How a picture becomes the numbers a model sees: resized so that it covers size / cropRatio, cut to its centre, then
 * (pixel / 255 - mean) / std. The same as `shvit_mobile/images/preprocessing.py`.
 *
 * @property height of the model's input, in pixels.
 * @property width of the model's input, in pixels.
 * @property cropRatio the share of the resized picture, along its tighter side, that the crop keeps; in (0, 1].
 * @property interpolation widened when it shrinks a picture, as Pillow does.
 * @property mean of each channel in the order of [channelOrder], in units of the full range (0 to 1).
 * @property std as [mean]; above 0.
 * @throws WrongSettings a number is out of its range.
 */
data class Preprocessing(
    val height: Int = 224,
    val width: Int = 224,
    val cropRatio: Double = 0.875,
    val interpolation: Interpolation = Interpolation.BICUBIC,
    val mean: List<Double> = listOf(0.485, 0.456, 0.406),
    val std: List<Double> = listOf(0.229, 0.224, 0.225),
    val channelOrder: ChannelOrder = ChannelOrder.RGB,
) {
    init {
        if (height < 1 || width < 1) {
            throw WrongSettings("The image size is $height x $width.", "Height and width are at least 1.")
        }
        if (!(cropRatio > 0 && cropRatio <= 1)) {
            throw WrongSettings("crop_ratio is $cropRatio.", "It is a share: above 0 and at most 1.")
        }
        if (mean.size != 3 || std.size != 3 || !(mean + std).all(Double::isFinite)) {
            throw WrongSettings("mean is $mean and std $std.", "Three finite numbers each, one a colour.")
        }
        if (std.any { it <= 0 }) {
            throw WrongSettings("std is $std.", "The colours are divided by it: above 0.")
        }
    }
    fun json(): Json.Object = jsonObject(
        "size" to json(listOf(height, width)) { json(it) },
        "crop_ratio" to json(cropRatio),
        "interpolation" to json(interpolation),
        "mean" to json(mean) { json(it) },
        "std" to json(std) { json(it) },
        "channel_order" to json(channelOrder),
    )

    companion object {
        /**
         * What stands in a document; a field that is missing has its default.
         *
         * Unknown fields are refused of any version: what they would change of the pixels is not known here.
         */
        fun of(fields: Fields): Preprocessing {
            val standard = Preprocessing()
            val size = fields.orElse("size", listOf(standard.height, standard.width)) { fields.counts(it, least = 1) }
            if (size.size != 2) fields.fail("size", "it is (height, width)")
            val preprocessing = try {
                Preprocessing(
                    height = size[0],
                    width = size[1],
                    cropRatio = fields.numberOrNull("crop_ratio") ?: standard.cropRatio,
                    interpolation = fields.orElse("interpolation", standard.interpolation) { fields.word(it) },
                    mean = fields.orElse("mean", standard.mean) { fields.numbers(it) },
                    std = fields.orElse("std", standard.std) { fields.numbers(it) },
                    channelOrder = fields.orElse("channel_order", standard.channelOrder) { fields.word(it) },
                )
            } catch (reason: WrongSettings) {
                fields.refuse(reason.message.orEmpty().replace("\n", " ").removeSuffix("."))
            }
            fields.close()
            return preprocessing
        }
    }
}

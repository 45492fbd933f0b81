package dev.shvit.core.models

import dev.shvit.core.ShvitException.RuntimeFailure
import dev.shvit.core.detection.Box
import dev.shvit.core.detection.BoxDecoder
import dev.shvit.core.detection.RawMap
import dev.shvit.core.documents.Manifest
import dev.shvit.core.documents.OutputMap

/** What a model finds in a picture. */
sealed interface Finding {
    /** The most likely classes, most likely first. */
    data class Classes(val predictions: List<Prediction>) : Finding

    /** Objects with their boxes, best first. */
    data class Objects(val objects: List<DetectedObject>) : Finding

    /** Feature maps, which mean nothing to a person. */
    data object Maps : Finding
}

/**
 * An object in a picture.
 *
 * @property label The class's name.
 * @property box The class's index, the score, and the sides in pixels of the upright picture.
 */
data class DetectedObject(val label: String, val box: Box)

/** Makes classes or boxes of a model's outputs, by the task in its manifest. */
class OutputDecoder(private val manifest: Manifest) {
    private val boxDecoder = manifest.detection?.let { BoxDecoder(it, manifest.preprocessing) }

    /**
     * Returns what a model finds in a picture.
     *
     * @param outputs The values of each output, by its name.
     * @param height The height of the upright picture in pixels; [width] likewise.
     * @param count The maximum number of classes.
     * @throws RuntimeFailure If the outputs do not fit the manifest.
     */
    fun decode(outputs: Map<String, FloatArray>, height: Int, width: Int, count: Int = 5): Finding {
        val logits = manifest.output.logits
        if (logits != null) {
            return Finding.Classes(predictions(outputs[logits] ?: FloatArray(0), manifest.labels, count))
        }
        val decoder = boxDecoder ?: return Finding.Maps
        val maps = manifest.output.maps.map { map(it, outputs[it.name] ?: FloatArray(0)) }
        val levels = decoder.detection.strides.size
        val boxes = decoder.decode(maps.take(levels), maps.drop(levels), height, width)
        return Finding.Objects(boxes.map { DetectedObject(manifest.labels[it.index], it) })
    }

    private fun map(contract: OutputMap, values: FloatArray): RawMap {
        val (channels, rows, columns) = contract.shape
        if (values.size != channels * rows * columns) {
            throw RuntimeFailure(
                "The model returned ${values.size} values as ${contract.name}.",
                "Its manifest says $channels x $rows x $columns.",
                AGAIN,
            )
        }
        return RawMap(channels, rows, columns, values)
    }
}

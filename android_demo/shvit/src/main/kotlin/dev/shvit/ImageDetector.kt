package dev.shvit

import android.content.Context
import dev.shvit.core.ShvitException
import dev.shvit.core.documents.Manifest
import dev.shvit.core.documents.Task
import dev.shvit.core.images.Orientation
import dev.shvit.core.images.PixelSource
import dev.shvit.core.models.DetectedObject
import dev.shvit.core.models.Engines
import dev.shvit.core.models.Finding
import java.io.Closeable

/**
 * The objects in a picture.
 *
 * @property objects The objects, best first, with boxes in pixels of the upright picture.
 * @property preprocessingMs The duration from the picture to the values of the model's input.
 * @property inferenceMs The duration of the runtime's call, as device reports state it.
 * @property decodingMs The duration from the runtime's outputs to boxes.
 */
data class Detections(
    val objects: List<DetectedObject>,
    val preprocessingMs: Double,
    val inferenceMs: Double,
    val decodingMs: Double,
)

/**
 * Detects objects in pictures with a model that `shvit-mobile embed` put into the app's assets.
 *
 * ```kotlin
 * val detector = ImageDetector.named(context, "light_shvit_s1-detect-256-executorch-int8")
 * for (found in detector.detect(bitmap.toPixels()).objects) println("${found.label}: ${found.box}")
 * ```
 *
 * Thread-safe: detections wait for each other. Load and use it off the main thread, keep it as long as you detect, and
 * [close] it to free the model's memory.
 */
class ImageDetector private constructor(private val model: ShvitModel) : Closeable {
    /** What the export says about the model: its classes, preprocessing, precision and accuracy. */
    val manifest: Manifest get() = model.manifest

    /**
     * Returns the objects in a picture: a bitmap's [toPixels], what [BitmapDecoder] decodes, or a camera's [toFrame].
     *
     * @param orientation What makes the source upright.
     * @throws ShvitException If the model fails.
     */
    fun detect(source: PixelSource, orientation: Orientation = Orientation.UPRIGHT): Detections {
        val analysis = model.analyze(source, orientation)
        val objects = (analysis.finding as Finding.Objects).objects
        return Detections(objects, analysis.preprocessingMs, analysis.inferenceMs, analysis.decodingMs)
    }

    /** Frees the model after a running detection. Does nothing the second time. */
    override fun close() = model.close()

    companion object {
        /**
         * Loads an embedded detector; otherwise like [ImageClassifier.named].
         *
         * @throws ShvitException.UnsupportedDocument Also if the model is no detector.
         */
        fun named(
            context: Context,
            name: String,
            threads: Int = 0,
            engines: Engines = Engines(ExecuTorch),
        ): ImageDetector = ImageDetector(ShvitModel.named(context, name, threads, engines, Task.DETECT))
    }
}

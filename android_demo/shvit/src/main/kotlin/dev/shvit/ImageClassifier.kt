package dev.shvit

import android.content.Context
import android.graphics.Bitmap
import android.media.Image
import dev.shvit.core.ShvitException
import dev.shvit.core.documents.Manifest
import dev.shvit.core.documents.Task
import dev.shvit.core.images.Orientation
import dev.shvit.core.images.PixelSource
import dev.shvit.core.images.Plane
import dev.shvit.core.images.cameraPixels
import dev.shvit.core.models.Engines
import dev.shvit.core.models.Finding
import dev.shvit.core.models.Prediction
import java.io.Closeable
import java.nio.ByteBuffer

/**
 * A model's predictions for a picture.
 *
 * @property predictions The most likely classes, most likely first.
 * @property preprocessingMs The duration from the picture to the values of the model's input.
 * @property inferenceMs The duration of the runtime's call, as device reports state it.
 */
data class Classification(val predictions: List<Prediction>, val preprocessingMs: Double, val inferenceMs: Double)

/**
 * Classifies pictures with a model that `shvit-mobile embed` put into the app's assets.
 *
 * ```kotlin
 * val classifier = ImageClassifier.named(context, "shvit_s1-224-executorch-int8")
 * for (prediction in classifier.classify(bitmap).predictions) {
 *     println("${prediction.label}: ${prediction.probability}")
 * }
 * ```
 *
 * Thread-safe: classifications wait for each other. Load and use it off the main thread, keep it as long as you classify,
 * and [close] it to free the model's memory.
 */
class ImageClassifier private constructor(private val model: ShvitModel) : Closeable {
    private val decoder = BitmapDecoder()
    private var copied: ByteBuffer? = null

    /** What the export says about the model: its classes, preprocessing, precision and accuracy. */
    val manifest: Manifest get() = model.manifest

    /**
     * Returns the most likely classes of an upright bitmap.
     *
     * @param count The maximum number of classes.
     * @throws ShvitException If the bitmap cannot be read, or the model fails.
     */
    @Synchronized
    fun classify(bitmap: Bitmap, count: Int = ShvitModel.STANDARD_COUNT): Classification {
        // Frames of a video have one size: their bytes go to the same memory.
        val pixels = bitmap.toPixels(copied)
        copied = pixels.bytes.takeIf { it.capacity() <= MOST_KEPT }
        return classify(pixels, count = count)
    }

    /**
     * Returns the most likely classes of an encoded picture, such as a JPEG or PNG; follows its EXIF orientation.
     *
     * @param count The maximum number of classes.
     * @throws ShvitException If Android cannot decode the picture, or the model fails.
     */
    fun classify(encoded: ByteArray, count: Int = ShvitModel.STANDARD_COUNT): Classification =
        classify(decoder.decode(encoded), count = count)

    /**
     * Returns the most likely classes of the crop rectangle of a camera's image. Does not close the image.
     *
     * @param clockwise The rotation that makes the image upright, in degrees; a multiple of 90.
     * @param count The maximum number of classes.
     * @throws ShvitException If the image is neither `YUV_420_888` nor `RGBA_8888`, or the model fails.
     */
    fun classify(image: Image, clockwise: Int, count: Int = ShvitModel.STANDARD_COUNT): Classification {
        val planes = image.planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
        val pixels = cameraPixels(image.format, image.width, image.height, planes, image.cropRect.toPart())
        return classify(pixels, Orientation.fromDegrees(clockwise), count)
    }

    /**
     * Returns the most likely classes of any other pixels.
     *
     * @param orientation What makes the source upright.
     * @param count The maximum number of classes.
     * @throws ShvitException If the model fails.
     */
    fun classify(
        source: PixelSource,
        orientation: Orientation = Orientation.UPRIGHT,
        count: Int = ShvitModel.STANDARD_COUNT,
    ): Classification {
        val analysis = model.analyze(source, orientation, count)
        val predictions = (analysis.finding as Finding.Classes).predictions
        return Classification(predictions, analysis.preprocessingMs, analysis.inferenceMs)
    }

    /** Frees the model after a running classification. Does nothing the second time. */
    override fun close() = model.close()

    companion object {
        /** The bytes of a frame of 1920 x 1080, in rows of full blocks. Photos would keep much more. */
        private const val MOST_KEPT = 4 * 1920 * 1088

        /**
         * Loads an embedded model. The first time, its file is copied out of the app's assets, since a runtime maps files
         * into memory; the copy is verified by its SHA-256. Copies of models that the app no longer contains are
         * deleted.
         *
         * @param name The folder's name in the assets, which is the artifact's name without suffix.
         * @param threads The number of threads of an inference; 0 leaves it to the runtime. All ExecuTorch models that
         *   are loaded at the same time must have the same.
         * @param engines The runtimes to choose from, by the model's target. A `.tflite` needs `LiteRT` of the library
         *   `shvit-litert`.
         * @throws ShvitException.ModelNotEmbedded If the app has no such model; names those that it has.
         * @throws ShvitException.ArtifactChanged If a file of the model is missing, or not the exported one.
         * @throws ShvitException.UnsupportedDocument If the model is no classifier, is for another runtime, or another
         *   version of it.
         * @throws ShvitException If the model cannot be loaded.
         */
        fun named(
            context: Context,
            name: String,
            threads: Int = 0,
            engines: Engines = Engines(ExecuTorch),
        ): ImageClassifier = ImageClassifier(ShvitModel.named(context, name, threads, engines, Task.CLASSIFY))
    }
}

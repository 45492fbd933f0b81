package dev.shvit.camerax

import androidx.camera.core.ImageAnalysis
import androidx.camera.core.ImageProxy
import dev.shvit.Classification
import dev.shvit.ImageClassifier
import dev.shvit.core.ShvitException
import dev.shvit.core.images.Orientation
import dev.shvit.core.images.Plane
import dev.shvit.core.images.cameraPixels
import dev.shvit.toPart

/**
 * Classifies the crop rectangle of a CameraX frame, in `YUV_420_888` or `RGBA_8888`. The frame's rotation is applied while
 * its pixels are read, without a copy. Does not close the frame.
 *
 * @param count The maximum number of classes.
 * @throws ShvitException If the frame has another format, or the model fails.
 */
fun ImageClassifier.classify(image: ImageProxy, count: Int = 5): Classification {
    val planes = image.planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
    val pixels = cameraPixels(image.format, image.width, image.height, planes, image.cropRect.toPart())
    return classify(pixels, Orientation.fromDegrees(image.imageInfo.rotationDegrees), count)
}

/**
 * Classifies the frames of CameraX's `ImageAnalysis`, and closes each of them.
 *
 * ```kotlin
 * val classifier = ImageClassifier.named(context, "shvit_s1-224-executorch-int8")
 * analysis.setAnalyzer(executor, FrameAnalyzer(classifier) { seen -> Log.i("shvit", "${seen.getOrThrow().predictions}") })
 * ```
 *
 * After a failure, it closes frames without classifying them: the next frame would fail, too.
 *
 * @param classify Classifies a frame, on the executor's thread.
 * @param seen Receives each classification, or the failure that ends them, on the executor's thread.
 */
class FrameAnalyzer(
    private val classify: (ImageProxy) -> Classification,
    private val seen: (Result<Classification>) -> Unit,
) : ImageAnalysis.Analyzer {
    @Volatile
    private var failed = false

    /**
     * Uses a loaded model, which the caller closes after the last frame.
     *
     * @param seen Receives each classification, or the failure that ends them, on the executor's thread.
     */
    constructor(classifier: ImageClassifier, seen: (Result<Classification>) -> Unit) :
        this({ classifier.classify(it) }, seen)

    override fun analyze(image: ImageProxy) {
        // A runtime also throws errors, such as a missing native library, or too little memory.
        val result = image.use { if (failed) null else runCatching { classify(it) } } ?: return
        failed = result.isFailure
        seen(result)
    }
}

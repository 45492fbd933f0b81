package dev.shvit.camerax

import androidx.camera.core.ImageAnalysis
import androidx.camera.core.ImageProxy
import dev.shvit.Analysis
import dev.shvit.Classification
import dev.shvit.Detections
import dev.shvit.ImageClassifier
import dev.shvit.ImageDetector
import dev.shvit.ShvitModel
import dev.shvit.core.ShvitException
import dev.shvit.core.images.Orientation
import dev.shvit.core.images.PixelSource
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
fun ImageClassifier.classify(image: ImageProxy, count: Int = 5): Classification =
    classify(image.pixels(), image.orientation(), count)

/** Detects objects likewise; boxes are in pixels of the upright crop rectangle. */
fun ImageDetector.detect(image: ImageProxy): Detections = detect(image.pixels(), image.orientation())

/** Runs a model of any task likewise. */
fun ShvitModel.analyze(image: ImageProxy): Analysis = analyze(image.pixels(), image.orientation())

private fun ImageProxy.pixels(): PixelSource {
    val planes = planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
    return cameraPixels(format, width, height, planes, cropRect.toPart())
}

private fun ImageProxy.orientation(): Orientation = Orientation.fromDegrees(imageInfo.rotationDegrees)

/**
 * Analyzes the frames of CameraX's `ImageAnalysis`, and closes each of them.
 *
 * ```kotlin
 * val classifier = ImageClassifier.named(context, "shvit_s1-224-executorch-int8")
 * val analyzer = FrameAnalyzer({ classifier.classify(it) }) { seen -> Log.i("shvit", "${seen.getOrThrow().predictions}") }
 * analysis.setAnalyzer(executor, analyzer)
 * ```
 *
 * After a failure, it closes frames without analyzing them: the next frame would fail, too.
 *
 * @param analyze Classifies a frame, or detects objects in it, on the executor's thread.
 * @param seen Receives each result, or the failure that ends them, on the executor's thread.
 */
class FrameAnalyzer<R>(
    private val analyze: (ImageProxy) -> R,
    private val seen: (Result<R>) -> Unit,
) : ImageAnalysis.Analyzer {
    @Volatile
    private var failed = false

    override fun analyze(image: ImageProxy) {
        // A runtime also throws errors, such as a missing native library, or too little memory.
        val result = image.use { if (failed) null else runCatching { analyze.invoke(it) } } ?: return
        failed = result.isFailure
        seen(result)
    }
}

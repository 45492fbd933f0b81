package dev.shvit

import dev.shvit.core.ShvitException
import dev.shvit.core.ShvitException.RuntimeFailure
import dev.shvit.core.ShvitException.UnsupportedDocument
import dev.shvit.core.ShvitException.UnsupportedInput
import dev.shvit.core.documents.InputKind
import dev.shvit.core.documents.Manifest
import dev.shvit.core.images.Orientation
import dev.shvit.core.images.Picture
import dev.shvit.core.images.PixelSource
import dev.shvit.core.images.Pixels
import dev.shvit.core.images.Preprocessor
import dev.shvit.core.images.TensorValues
import dev.shvit.core.measure.Stage
import dev.shvit.core.measure.StageTimer
import dev.shvit.core.measure.measure
import dev.shvit.core.models.ArtifactCache
import dev.shvit.core.models.Classifier
import dev.shvit.core.models.Engine
import dev.shvit.core.models.Engines
import dev.shvit.core.models.Prediction
import dev.shvit.core.models.Session
import dev.shvit.core.models.StoredModel
import dev.shvit.core.models.predictions

/**
 * A model's predictions for a picture.
 *
 * @property predictions The most likely classes, most likely first.
 * @property preprocessingMs The duration from the picture to the values of the model's input.
 * @property inferenceMs The duration of the runtime's call, as device reports state it.
 */
data class Classification(val predictions: List<Prediction>, val preprocessingMs: Double, val inferenceMs: Double)

/**
 * A model that a runtime has loaded, for benchmarks and checks; [ImageClassifier] is simpler. Load and run it off the main
 * thread, preferably on a [dev.shvit.core.models.ModelThread]. Inferences and [close] wait for each other.
 *
 * ```kotlin
 * val model = ModelStore(AssetFiles(assets)).model("shvit_s1-224-executorch-int8")
 * ShvitClassifier.load(model, ArtifactCache(File(filesDir, "models")), threads = 4).use { classifier ->
 *     val predictions = classifier.classify(bitmap.toPixels()).predictions
 * }
 * ```
 */
class ShvitClassifier private constructor(
    val manifest: Manifest,
    private val engine: Engine,
    private val session: Session,
) : Classifier {
    private val preprocessor = Preprocessor(manifest.preprocessing)
    private var closed = false

    /** What one classification after the other uses. */
    private val pixels = manifest.preprocessing.let {
        Pixels(it.height, it.width, ByteArray(it.height * it.width * Pixels.CHANNELS))
    }
    private val values = TensorValues(manifest.input, manifest.preprocessing)

    /**
     * Returns the most likely classes of a picture, bitmap or camera frame, with the latency.
     *
     * @param orientation What makes the source upright.
     * @param count The maximum number of classes.
     * @throws ShvitException If the model fails, or differs from its manifest.
     */
    @Synchronized
    fun classify(
        source: PixelSource,
        orientation: Orientation = Orientation.UPRIGHT,
        count: Int = 5,
    ): Classification {
        val timer = StageTimer(monotonic)
        timer.time(Stage.PREPROCESSING) {
            trace("shvit preprocessing") { preprocessor.prepare(source, orientation, pixels) }
        }
        val logits = logits(pixels, timer)
        return Classification(
            predictions(logits, manifest.labels, count),
            preprocessingMs = timer.milliseconds(Stage.PREPROCESSING),
            inferenceMs = timer.milliseconds(Stage.INFERENCE),
        )
    }

    /** Returns the pixels that the model sees of an upright picture. */
    fun pixels(picture: Picture): Pixels = trace("shvit preprocessing") { preprocessor.pixels(picture) }

    @Synchronized
    override fun logits(pixels: Pixels, timer: StageTimer?): FloatArray {
        check(!closed) { "${manifest.artifact.name} has been closed" }
        val preprocessing = manifest.preprocessing
        if (pixels.height != preprocessing.height || pixels.width != preprocessing.width) {
            throw UnsupportedInput(
                "${pixels.height} x ${pixels.width} pixels do not fit ${manifest.artifact.name}.",
                "It needs ${preprocessing.height} x ${preprocessing.width}.",
            )
        }
        val content = timer.measure(Stage.PREPROCESSING) { values.of(pixels) }
        return engine.orRuntimeFailure("${manifest.artifact.name} failed") {
            timer.measure(Stage.TENSOR) { session.write(content) }
            timer.measure(Stage.INFERENCE) { trace("shvit inference") { session.run() } }
            timer.measure(Stage.DECODING) { session.read() }
        }
    }

    /** Frees the model after a running inference. Does nothing the second time. */
    @Synchronized
    override fun close() {
        if (closed) return
        closed = true
        session.close()
    }

    companion object {
        private const val BATCH = 0

        /**
         * Loads a model: maps it into memory and prepares its first inference.
         *
         * All ExecuTorch models that are loaded at the same time use the same number of threads: see
         * [dev.shvit.core.models.SharedPool].
         *
         * @param cache The cache for the artifact's file, which verifies it by its SHA-256.
         * @param threads The number of threads of an inference; 0 leaves it to the runtime.
         * @param engines The runtimes to choose from, by the model's target.
         * @throws ShvitException If the model is damaged, is for another runtime or another version of it, or cannot be
         *   loaded.
         */
        fun load(
            model: StoredModel,
            cache: ArtifactCache,
            threads: Int = 0,
            engines: Engines = Engines(ExecuTorch),
        ): ShvitClassifier {
            val manifest = model.manifest
            val engine = engines.of(manifest)
            engine.check(manifest)
            checkInput(manifest)
            val file = cache.file(model)
            val session = trace("shvit load") {
                engine.orRuntimeFailure("${manifest.artifact.name} cannot be loaded") {
                    engine.load(manifest, file, threads)
                }
            }
            return ShvitClassifier(manifest, engine, session)
        }

        private fun checkInput(manifest: Manifest) {
            val input = manifest.input
            if (input.kind != InputKind.TENSOR || input.dtype != "float32" || input.shape[BATCH] > 1) {
                throw UnsupportedDocument(
                    "The input of ${manifest.artifact.name} is a ${input.kind.word} ${input.shape} of ${input.dtype}.",
                    "The app runs one image at a time, as a tensor of float32.",
                    "Export it again: shvit-mobile export --target ${manifest.target.word}",
                )
            }
        }

        /**
         * Converts what a runtime or its native library throws into an error that names the model. Not every runtime's
         * errors are [RuntimeException]s.
         */
        private inline fun <T> Engine.orRuntimeFailure(what: String, block: () -> T): T = try {
            block()
        } catch (reason: ShvitException) {
            throw reason
        } catch (reason: Exception) {
            throw RuntimeFailure("$what: ${reason.message}.", "The log may have details: adb logcat -s $logTag")
        } catch (reason: LinkageError) {
            throw RuntimeFailure("$what: ${reason.message}.", "The native library of $name does not load here.")
        }
    }
}

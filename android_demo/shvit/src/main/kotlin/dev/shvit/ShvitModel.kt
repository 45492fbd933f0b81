package dev.shvit

import android.content.Context
import dev.shvit.core.ShvitException
import dev.shvit.core.ShvitException.RuntimeFailure
import dev.shvit.core.ShvitException.UnsupportedDocument
import dev.shvit.core.ShvitException.UnsupportedInput
import dev.shvit.core.documents.InputKind
import dev.shvit.core.documents.Manifest
import dev.shvit.core.documents.Task
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
import dev.shvit.core.models.Runner
import dev.shvit.core.models.Engine
import dev.shvit.core.models.Engines
import dev.shvit.core.models.Finding
import dev.shvit.core.models.ModelStore
import dev.shvit.core.models.OutputDecoder
import dev.shvit.core.models.Session
import dev.shvit.core.models.Stored
import dev.shvit.core.models.StoredModel
import dev.shvit.core.screen.PicturePlacement

/**
 * What a model finds in a picture, and how long that took.
 *
 * @property finding Classes, objects or maps.
 * @property height The height of the upright picture in pixels; [width] likewise.
 * @property preprocessingMs The duration from the picture to the values of the model's input.
 * @property inferenceMs The duration of the runtime's call, as device reports state it.
 * @property decodingMs The duration from the runtime's outputs to classes or boxes.
 */
data class Analysis(
    val finding: Finding,
    val height: Int,
    val width: Int,
    val preprocessingMs: Double,
    val inferenceMs: Double,
    val decodingMs: Double,
) {
    /** How a view shows all of the picture, for the places of boxes. */
    val placement: PicturePlacement get() = PicturePlacement(width, height)
}

/**
 * A model of any task that a runtime has loaded; [ImageClassifier] and [ImageDetector] are simpler. Load and run it off the
 * main thread, preferably on a [dev.shvit.core.models.ModelThread]. Inferences and [close] wait for each other.
 *
 * ```kotlin
 * val model = ModelStore(AssetFiles(assets)).model("shvit_s1-224-executorch-int8")
 * ShvitModel.load(model, ArtifactCache(File(filesDir, "models")), threads = 4).use { loaded ->
 *     val finding = loaded.analyze(bitmap.toPixels()).finding
 * }
 * ```
 */
class ShvitModel private constructor(
    val manifest: Manifest,
    private val engine: Engine,
    private val session: Session,
) : Runner {
    private val preprocessor = Preprocessor(manifest.preprocessing)
    private val decoder = OutputDecoder(manifest)
    private var closed = false

    /** What one classification after the other uses. */
    private val pixels = manifest.preprocessing.let {
        Pixels(it.height, it.width, ByteArray(it.height * it.width * Pixels.CHANNELS))
    }
    private val values = TensorValues(manifest.input, manifest.preprocessing)

    /**
     * Returns what the model finds in a picture, bitmap or camera frame, with the latencies.
     *
     * @param orientation What makes the source upright.
     * @param count The maximum number of classes.
     * @throws ShvitException If the model fails, or differs from its manifest.
     */
    @Synchronized
    fun analyze(
        source: PixelSource,
        orientation: Orientation = Orientation.UPRIGHT,
        count: Int = STANDARD_COUNT,
    ): Analysis {
        val timer = StageTimer(monotonic)
        timer.time(Stage.PREPROCESSING) {
            trace("shvit preprocessing") { preprocessor.prepare(source, orientation, pixels) }
        }
        val outputs = outputs(pixels, timer)
        val (height, width) = orientation.uprightSize(source)
        val finding = timer.time(Stage.DECODING) {
            trace("shvit decoding") { decoder.decode(outputs, height, width, count) }
        }
        return Analysis(
            finding,
            height,
            width,
            preprocessingMs = timer.milliseconds(Stage.PREPROCESSING),
            inferenceMs = timer.milliseconds(Stage.INFERENCE),
            decodingMs = timer.milliseconds(Stage.DECODING),
        )
    }

    /** Returns the pixels that the model sees of an upright picture. */
    fun pixels(picture: Picture): Pixels = trace("shvit preprocessing") { preprocessor.pixels(picture) }

    @Synchronized
    override fun outputs(pixels: Pixels, timer: StageTimer?): Map<String, FloatArray> {
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
            timer.measure(Stage.DECODING) { named(session.read()) }
        }
    }

    private fun named(outputs: List<FloatArray>): Map<String, FloatArray> {
        val names = manifest.output.names
        check(outputs.size == names.size) { "it returned ${outputs.size} outputs, not ${names.size}" }
        return names.zip(outputs).toMap()
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
        internal const val STANDARD_COUNT = 5

        /**
         * Loads an embedded model of a task: see [ImageClassifier.named].
         *
         * @param task The task that the model must have; null for any.
         */
        fun named(
            context: Context,
            name: String,
            threads: Int = 0,
            engines: Engines = Engines(ExecuTorch),
            task: Task? = null,
        ): ShvitModel {
            val store = ModelStore(AssetFiles(context.assets))
            val model = store.model(name)
            if (task != null && model.manifest.task != task) throw otherTask(model.manifest, task)
            val cache = artifactCache(context)
            val loaded = load(model, cache, threads, engines)
            cache.keepOnly(store.models().filterIsInstance<Stored.Usable>().map { it.model })
            return loaded
        }

        /** Returns the app's copies of embedded models, in a folder that backups leave out. */
        fun artifactCache(context: Context): ArtifactCache =
            ArtifactCache(context.noBackupFilesDir.resolve("dev.shvit/models"))

        private fun otherTask(manifest: Manifest, task: Task) = UnsupportedDocument(
            "${manifest.artifact.name} has the task ${manifest.task.word}, not ${task.word}.",
            "Its outputs are others.",
            "Load a classifier with ImageClassifier, a detector with ImageDetector, and any model with ShvitModel.",
        )

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
        ): ShvitModel {
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
            return ShvitModel(manifest, engine, session)
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

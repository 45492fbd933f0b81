package dev.shvit.core.documents

import dev.shvit.core.json.Fields
import dev.shvit.core.json.Fields.Companion.POSITIVE
import dev.shvit.core.json.Json
import dev.shvit.core.json.json
import dev.shvit.core.json.jsonObject
import dev.shvit.core.json.word
import dev.shvit.core.measure.Latency
import dev.shvit.core.measure.Stages

/**
 * A window of a sustained run.
 *
 * @property startS Seconds since the run began.
 * @property samples The number of inferences; at least one.
 * @property p50 The median latency, in milliseconds.
 * @property thermal The thermal state at the end of the window.
 */
data class Window(
    val startS: Double,
    val samples: Int,
    val p50: Double,
    val thermal: ThermalState? = null,
    val unknown: Map<String, Json> = emptyMap(),
) {
    internal fun json(): Json.Object = jsonObject(
        "start_s" to json(startS),
        "samples" to json(samples),
        "p50" to json(p50),
        "thermal" to json(thermal),
        unknown = unknown,
    )

    companion object {
        internal fun of(fields: Fields): Window = Window(
            fields.number("start_s", POSITIVE),
            fields.count("samples", least = 1),
            fields.number("p50", POSITIVE),
            fields.orElse("thermal", null) { fields.word<ThermalState>(it) },
            fields.unknown(),
        )
    }
}

/**
 * The result of a golden check: preprocessing and inference.
 *
 * @property images The number of goldens.
 * @property preprocessingPassed Whether the device's pixels are within the tolerance.
 * @property pixelsDifference The mean absolute difference of the worst image, from 0 to 255.
 * @property inferencePassed Whether the logits, or the values of maps, for the stored pixels are within the tolerance.
 * @property largestDifference The largest difference of any of them; [tolerance] is the limit. Of several maps, those of
 *   the one that is furthest beyond its tolerance.
 * @property sqnrDb The SQNR of the device's logits, or the lowest of a map; infinite if they are equal.
 * @property sameClass The number of images on which both choose the same class; null for maps.
 */
data class GoldenCheck(
    val images: Int,
    val preprocessingPassed: Boolean,
    val pixelsDifference: Double,
    val inferencePassed: Boolean,
    val largestDifference: Double,
    val tolerance: Double,
    val sqnrDb: Double,
    val sameClass: Int?,
    val unknown: Map<String, Json> = emptyMap(),
) {
    /** Whether both parts passed. */
    val passed: Boolean get() = preprocessingPassed && inferencePassed

    internal fun json(): Json.Object = jsonObject(
        "images" to json(images),
        "preprocessing_passed" to json(preprocessingPassed),
        "pixels_difference" to json(pixelsDifference),
        "inference_passed" to json(inferencePassed),
        "largest_difference" to json(largestDifference),
        "tolerance" to json(tolerance),
        "sqnr_db" to json(sqnrDb),
        "same_class" to json(sameClass),
        unknown = unknown,
    )

    companion object {
        internal fun of(fields: Fields): GoldenCheck = GoldenCheck(
            fields.count("images", least = 1),
            fields.flag("preprocessing_passed"),
            fields.number("pixels_difference", POSITIVE),
            fields.flag("inference_passed"),
            fields.number("largest_difference", POSITIVE),
            fields.number("tolerance", POSITIVE),
            fields.figure("sqnr_db"),
            fields.countOrNull("same_class"),
            fields.unknown(),
        )
    }
}

/** The speed relative to the first contestant, with a 95% confidence interval of the median ratio. */
data class Ratio(val value: Double, val low: Double, val high: Double, val unknown: Map<String, Json> = emptyMap()) {
    internal fun json(): Json.Object =
        jsonObject("value" to json(value), "low" to json(low), "high" to json(high), unknown = unknown)

    companion object {
        internal fun of(fields: Fields): Ratio =
            Ratio(fields.number("value"), fields.number("low"), fields.figure("high"), fields.unknown())
    }
}

/**
 * The measurements of one contestant.
 *
 * @property name The artifact's file name, with [engine] and [precision].
 * @property artifactSha256 The artifact's SHA-256; null if shvit-mobile did not export it.
 * @property compute The processors that the contestant may use.
 * @property threads The number of threads, if it differs from the settings.
 * @property compileMs The duration of compilation on the first launch (Core ML).
 * @property loadMs The duration of loading.
 * @property firstMs The latency of the first inference.
 * @property latency The latency of an inference, over all rounds.
 * @property samplesMs The latency of every measured inference, one list per round: [Settings.timed] says of what.
 * @property stages The stages of whole frames; null on a computer, and before version 1.1.
 * @property windows The windows of the sustained run, in order of time; empty without one.
 * @property ratio The ratio of the first contestant's latency to this one's; null for the first, and for contestants
 *   that did not share rounds with it.
 * @property peakMemoryBytes The peak growth of the process while the model loaded and ran once.
 * @property runningMemoryBytes The peak growth of the process during inferences after loading.
 * @property sizeBytes The artifact's size on disk.
 * @property macs Multiply-adds per image.
 * @property roofShare The share of the roofline of the artifact's precision, from 0 to 1.
 * @property placement The number of operators that each processor runs.
 * @property golden The result of the golden check.
 * @property drift The drift from the float model, measured when the artifact was validated.
 */
data class Result(
    val name: String,
    val engine: String,
    val precision: String,
    val artifactSha256: String? = null,
    val compute: Compute = Compute.CPU,
    val threads: Int? = null,
    val compileMs: Double? = null,
    val loadMs: Double,
    val firstMs: Double,
    val latency: Latency,
    val samplesMs: List<List<Double>>,
    val stages: Stages? = null,
    val windows: List<Window> = emptyList(),
    val ratio: Ratio? = null,
    val peakMemoryBytes: Long? = null,
    val runningMemoryBytes: Long? = null,
    val sizeBytes: Long? = null,
    val macs: Long? = null,
    val roofShare: Double? = null,
    val placement: Map<String, Long>? = null,
    val golden: GoldenCheck? = null,
    val drift: DriftRow? = null,
    val unknown: Map<String, Json> = emptyMap(),
) {
    internal fun json(): Json.Object = jsonObject(
        "name" to json(name),
        "engine" to json(engine),
        "precision" to json(precision),
        "artifact_sha256" to json(artifactSha256),
        "compute" to json(compute),
        "threads" to json(threads),
        "compile_ms" to json(compileMs),
        "load_ms" to json(loadMs),
        "first_ms" to json(firstMs),
        "latency" to latency.json(),
        "samples_ms" to json(samplesMs) { round -> json(round) { json(it) } },
        "stages" to (stages?.json() ?: Json.Null),
        "windows" to json(windows) { it.json() },
        "ratio" to (ratio?.json() ?: Json.Null),
        "peak_memory_bytes" to json(peakMemoryBytes),
        "running_memory_bytes" to json(runningMemoryBytes),
        "size_bytes" to json(sizeBytes),
        "macs" to json(macs),
        "roof_share" to json(roofShare),
        "placement" to (placement?.let { operators -> json(operators) { json(it) } } ?: Json.Null),
        "golden" to (golden?.json() ?: Json.Null),
        "drift" to (drift?.json() ?: Json.Null),
        unknown = unknown,
    )

    companion object {
        /** Reads a result; [timed] is whether the report has at least version 1.1. */
        internal fun of(fields: Fields, timed: Boolean): Result = Result(
            name = fields.text("name"),
            engine = fields.text("engine"),
            precision = fields.text("precision"),
            artifactSha256 = fields.sha256OrNull("artifact_sha256"),
            compute = fields.orElse("compute", Compute.CPU) { fields.word(it) },
            threads = fields.countOrNull("threads", least = 1),
            compileMs = fields.numberOrNull("compile_ms", POSITIVE),
            loadMs = fields.number("load_ms", POSITIVE),
            firstMs = fields.number("first_ms", POSITIVE),
            latency = fields.child("latency") { Latency.of(it, timed) },
            samplesMs = fields.numberLists("samples_ms", POSITIVE)
                .ifEmpty { fields.fail("samples_ms", "at least one round is expected") },
            stages = fields.childOrNull("stages", Stages::of),
            windows = fields.orElse("windows", emptyList()) { fields.children(it, Window::of) },
            ratio = fields.childOrNull("ratio", Ratio::of),
            peakMemoryBytes = fields.wholeOrNull("peak_memory_bytes", least = 0),
            runningMemoryBytes = fields.wholeOrNull("running_memory_bytes", least = 0),
            sizeBytes = fields.wholeOrNull("size_bytes", least = 0),
            macs = fields.wholeOrNull("macs", least = 0),
            roofShare = fields.numberOrNull("roof_share", POSITIVE),
            placement = fields.orElse("placement", null) { name ->
                fields.map(name) { inner, processor -> inner.whole(processor, least = 0) }
            },
            golden = fields.childOrNull("golden", GoldenCheck::of),
            drift = fields.childOrNull("drift", DriftRow::of),
            unknown = fields.unknown(),
        )
    }
}

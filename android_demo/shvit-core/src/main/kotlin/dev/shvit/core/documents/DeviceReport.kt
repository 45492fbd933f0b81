package dev.shvit.core.documents

import dev.shvit.core.ShvitException.InvalidDocument
import dev.shvit.core.ShvitException.UnsupportedDocument
import dev.shvit.core.json.Fields
import dev.shvit.core.json.Fields.Companion.POSITIVE
import dev.shvit.core.json.Json
import dev.shvit.core.json.Word
import dev.shvit.core.json.json
import dev.shvit.core.json.jsonObject
import dev.shvit.core.json.text
import dev.shvit.core.json.word
import dev.shvit.core.json.words

/**
 * The device that was measured.
 *
 * @property model The processor, or the phone's model code.
 * @property system The operating system and its version.
 * @property cores The number of usable processor cores.
 * @property memoryBytes The device's memory; null if unknown.
 * @property name The product name, if [model] is a code.
 */
data class Device(
    val kind: DeviceKind,
    val model: String,
    val system: String,
    val cores: Int,
    val memoryBytes: Long? = null,
    val name: String? = null,
    val unknown: Map<String, Json> = emptyMap(),
) {
    internal fun json(): Json.Object = jsonObject(
        "kind" to json(kind),
        "model" to json(model),
        "system" to json(system),
        "cores" to json(cores),
        "memory_bytes" to json(memoryBytes),
        "name" to json(name),
        unknown = unknown,
    )

    companion object {
        internal fun of(fields: Fields): Device = Device(
            kind = fields.word("kind"),
            model = fields.text("model"),
            system = fields.text("system"),
            cores = fields.count("cores"),
            memoryBytes = fields.wholeOrNull("memory_bytes", least = 0),
            name = fields.textOrNull("name"),
            unknown = fields.unknown(),
        )
    }
}

/**
 * The picture that the preprocessing of [Result.stages] starts from.
 *
 * @property width The width in memory, in pixels; [height] likewise.
 * @property quarterTurns How often it is turned clockwise by 90 degrees to be upright.
 */
data class FramePicture(
    val width: Int,
    val height: Int,
    val format: Format,
    val quarterTurns: Int = 0,
    val unknown: Map<String, Json> = emptyMap(),
) {
    /** A format in memory. */
    enum class Format(override val word: String) : Word {
        BGRA("bgra"),
        RGBA("rgba"),
        RGB("rgb"),
        YUV_420("yuv-420"),
    }

    internal fun json(): Json.Object = jsonObject(
        "width" to json(width),
        "height" to json(height),
        "format" to json(format),
        "quarter_turns" to json(quarterTurns),
        unknown = unknown,
    )

    companion object {
        internal fun of(fields: Fields): FramePicture = FramePicture(
            fields.count("width", least = 1),
            fields.count("height", least = 1),
            fields.word("format"),
            fields.countOrNull("quarter_turns") ?: 0,
            fields.unknown(),
        )
    }
}

/**
 * The settings of the benchmark.
 *
 * @property threads The number of threads of each engine; null if engines choose it, as Core ML does.
 * @property batch Images per inference.
 * @property rounds The number of rounds.
 * @property warmUp Warm-up inferences at the start of each round; of the shortest warm-up if that is a time.
 * @property iterations Measured inferences per round; of the shortest turn if turns are a time.
 * @property cpus The CPU cores that were used; any if empty.
 * @property seed The seed of the order in each round.
 * @property timed What a sample covers; null before version 1.1.
 * @property warmUpS The length of a warm-up in seconds; null if it is a number of inferences.
 * @property turnS The length of a turn in seconds; null if it is a number of inferences.
 * @property framesS The length of the whole frames after each turn, in seconds.
 * @property picture The picture of these frames.
 * @property overrides What the run was told to accept.
 */
data class Settings(
    val threads: Int?,
    val batch: Int,
    val rounds: Int,
    val warmUp: Int,
    val iterations: Int,
    val cpus: List<Int> = emptyList(),
    val seed: Long = 0,
    val timed: InferenceTiming? = null,
    val warmUpS: Double? = null,
    val turnS: Double? = null,
    val framesS: Double? = null,
    val picture: FramePicture? = null,
    val overrides: List<Override> = emptyList(),
    val unknown: Map<String, Json> = emptyMap(),
) {
    internal fun json(): Json.Object = jsonObject(
        "threads" to json(threads),
        "batch" to json(batch),
        "rounds" to json(rounds),
        "warm_up" to json(warmUp),
        "iterations" to json(iterations),
        "cpus" to json(cpus) { json(it) },
        "seed" to json(seed),
        "timed" to json(timed),
        "warm_up_s" to json(warmUpS),
        "turn_s" to json(turnS),
        "frames_s" to json(framesS),
        "picture" to (picture?.json() ?: Json.Null),
        unknown = if (overrides.isEmpty()) unknown else unknown + ("overrides" to json(overrides) { json(it) }),
    )

    companion object {
        internal fun of(fields: Fields): Settings = Settings(
            threads = fields.countOrNull("threads", least = 1),
            batch = fields.count("batch", least = 1),
            rounds = fields.count("rounds", least = 1),
            warmUp = fields.count("warm_up"),
            iterations = fields.count("iterations", least = 1),
            cpus = fields.orElse("cpus", emptyList()) { fields.counts(it) },
            seed = fields.wholeOrNull("seed") ?: 0,
            timed = fields.orElse("timed", null) { fields.word<InferenceTiming>(it) },
            warmUpS = fields.numberOrNull("warm_up_s", POSITIVE),
            turnS = fields.numberOrNull("turn_s", POSITIVE),
            framesS = fields.numberOrNull("frames_s", POSITIVE),
            picture = fields.childOrNull("picture", FramePicture::of),
            overrides = fields.orElse("overrides", emptyList()) { fields.words<Override>(it) },
            unknown = fields.unknown(),
        )
    }
}

/**
 * The highest arithmetic throughput that any installed library reached in a matrix product.
 *
 * @property gops Billions of operations per second; a multiply-add counts as two.
 * @property reachedBy The matrix product and the library that reached it.
 */
data class Roof(val gops: Double, val reachedBy: String, val unknown: Map<String, Json> = emptyMap()) {
    internal fun json(): Json.Object =
        jsonObject("gops" to json(gops), "reached_by" to json(reachedBy), unknown = unknown)

    companion object {
        internal fun of(fields: Fields): Roof = Roof(fields.number("gops"), fields.text("reached_by"), fields.unknown())
    }
}

/**
 * A contestant that could not be measured.
 *
 * @property error What was wrong, as text.
 */
data class FailedContestant(
    val name: String,
    val engine: String,
    val compute: Compute = Compute.CPU,
    val threads: Int? = null,
    val error: String,
    val unknown: Map<String, Json> = emptyMap(),
) {
    internal fun json(): Json.Object = jsonObject(
        "name" to json(name),
        "engine" to json(engine),
        "compute" to json(compute),
        "threads" to json(threads),
        "error" to json(error),
        unknown = unknown,
    )

    companion object {
        internal fun of(fields: Fields): FailedContestant = FailedContestant(
            name = fields.text("name"),
            engine = fields.text("engine"),
            compute = fields.orElse("compute", Compute.CPU) { fields.word(it) },
            threads = fields.countOrNull("threads", least = 1),
            error = fields.text("error"),
            unknown = fields.unknown(),
        )
    }
}

/** The version of device reports that this library writes. */
const val DEVICE_REPORT_VERSION = "1.1"

/**
 * The measurements of a benchmark, where they were taken, and how. `shvit-mobile devices` reads it.
 *
 * @property created The time of the measurement, in ISO 8601 with the offset from UTC.
 * @property app The app that measured, with its version and build.
 * @property runId The identity that the computer which started the run gave it; null for a run started by hand.
 * @property fixture Whether the report is a test fixture, whose figures were not measured.
 * @property conditions The phone's conditions; null on a computer.
 * @property roofs The rooflines by precision.
 * @property results The results; at least one.
 * @property failures The contestants that could not be measured.
 */
data class DeviceReport(
    val schemaVersion: String = DEVICE_REPORT_VERSION,
    val created: String,
    val app: String,
    val runId: String? = null,
    val fixture: Boolean = false,
    val versions: Map<String, String>,
    val device: Device,
    val settings: Settings,
    val conditions: Conditions? = null,
    val roofs: Map<String, Roof> = emptyMap(),
    val results: List<Result>,
    val failures: List<FailedContestant> = emptyList(),
    val unknown: Map<String, Json> = emptyMap(),
) {
    /** Returns the text of the file. */
    fun text(): String = jsonObject(
        "schema_version" to json(schemaVersion),
        "kind" to json(KIND),
        "created" to json(created),
        "app" to json(app),
        "fixture" to json(fixture),
        "versions" to json(versions) { json(it) },
        "device" to device.json(),
        "settings" to settings.json(),
        "conditions" to (conditions?.json() ?: Json.Null),
        "roofs" to json(roofs) { it.json() },
        "results" to json(results) { it.json() },
        unknown = unknown + listOfNotNull(
            runId?.let { "run_id" to json(it) },
            failures.takeIf { it.isNotEmpty() }?.let { all -> "failures" to json(all) { it.json() } },
        ),
    ).text()

    /** Rejects what cannot be, since version 1.1. */
    private fun check(fields: Fields) {
        if (settings.timed == null) fields.fail("settings.timed", "this field is missing")
        if (conditions?.lowPower == true && Override.LOW_POWER !in settings.overrides) {
            fields.fail("conditions.low_power", "it is on, and settings.overrides does not allow it")
        }
        val before = conditions?.thermal?.firstOrNull()?.state ?: ThermalState.NOMINAL
        if (before != ThermalState.NOMINAL && Override.HEAT !in settings.overrides) {
            fields.fail("conditions.thermal.0.state", "it is ${before.word}, and settings.overrides does not allow it")
        }
    }

    companion object {
        private const val KIND = "device_report"

        /**
         * Parses the text of a file.
         *
         * @param source The name of the file, for errors.
         * @throws InvalidDocument If it is not a device report.
         * @throws UnsupportedDocument If it has a newer major version.
         */
        fun read(text: String, source: String): DeviceReport =
            readDocument(text, source, KIND, "a device report", { of(it, hasMinor(it, 1)) }, DEVICE_REPORT_VERSION)

        private fun of(fields: Fields, timed: Boolean): DeviceReport = DeviceReport(
            schemaVersion = fields.text("schema_version"),
            created = fields.text("created"),
            app = fields.text("app"),
            runId = fields.textOrNull("run_id"),
            fixture = fields.flagOrNull("fixture") ?: false,
            versions = fields.map("versions") { inner, name -> inner.text(name) },
            device = fields.child("device", Device::of),
            settings = fields.child("settings", Settings::of),
            conditions = fields.childOrNull("conditions", Conditions::of),
            roofs = fields.orElse("roofs", emptyMap()) { name ->
                fields.map(name) { inner, precision -> inner.child(precision, Roof::of) }
            },
            results = fields.someChildren("results") { Result.of(it, timed) },
            failures = fields.orElse("failures", emptyList()) { fields.children(it, FailedContestant::of) },
            unknown = fields.unknown(),
        ).also { if (timed) it.check(fields) }
    }
}

package dev.shvit.core.documents

import dev.shvit.core.BadDocument
import dev.shvit.core.json.Fields
import dev.shvit.core.json.Json
import dev.shvit.core.json.json
import dev.shvit.core.json.jsonObject
import dev.shvit.core.json.text
import dev.shvit.core.json.word

/**
 * Where it ran.
 *
 * @property model of the processor, or of the phone.
 * @property system the operating system and its version.
 * @property cores processors that could be used.
 * @property memoryBytes of the machine; null where the system does not tell.
 * @property name what people call the phone, where [model] is a maker's code.
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
    fun json(): Json.Object = jsonObject(
        "kind" to json(kind),
        "model" to json(model),
        "system" to json(system),
        "cores" to json(cores),
        "memory_bytes" to json(memoryBytes),
        "name" to json(name),
        unknown = unknown,
    )

    companion object {
        fun of(fields: Fields): Device = Device(
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
 * How it was measured.
 *
 * @property threads of each engine; null where engines decide on their own, as Core ML does.
 * @property batch images an inference.
 * @property rounds how often each contestant had its turn.
 * @property warmUp inferences at the beginning of each turn that do not count.
 * @property iterations inferences of each turn that do.
 * @property cpus the only processors used; any if empty.
 * @property seed of the order in each round.
 */
data class Settings(
    val threads: Int?,
    val batch: Int,
    val rounds: Int,
    val warmUp: Int,
    val iterations: Int,
    val cpus: List<Int> = emptyList(),
    val seed: Long = 0,
    val unknown: Map<String, Json> = emptyMap(),
) {
    fun json(): Json.Object = jsonObject(
        "threads" to json(threads),
        "batch" to json(batch),
        "rounds" to json(rounds),
        "warm_up" to json(warmUp),
        "iterations" to json(iterations),
        "cpus" to json(cpus) { json(it) },
        "seed" to json(seed),
        unknown = unknown,
    )

    companion object {
        fun of(fields: Fields): Settings = Settings(
            threads = fields.countOrNull("threads", least = 1),
            batch = fields.count("batch", least = 1),
            rounds = fields.count("rounds", least = 1),
            warmUp = fields.count("warm_up"),
            iterations = fields.count("iterations", least = 1),
            cpus = fields.orElse("cpus", emptyList()) { fields.counts(it) },
            seed = fields.wholeOrNull("seed") ?: 0,
            unknown = fields.unknown(),
        )
    }
}

/**
 * The most arithmetic that any installed library reached on the machine in one product of matrices.
 *
 * @property gops billions of operations a second, two a multiply-add.
 * @property reachedBy which product of which library.
 */
data class Roof(val gops: Double, val reachedBy: String, val unknown: Map<String, Json> = emptyMap()) {
    fun json(): Json.Object =
        jsonObject("gops" to json(gops), "reached_by" to json(reachedBy), unknown = unknown)

    companion object {
        fun of(fields: Fields): Roof = Roof(fields.number("gops"), fields.text("reached_by"), fields.unknown())
    }
}

/**
 * What was measured, where, and how; `shvit-mobile devices` reads it.
 *
 * @property created when, in ISO 8601 with the offset from UTC.
 * @property app what measured, with its version and build.
 * @property fixture made up so that readers can be tested: nothing in it was measured.
 * @property conditions null on a computer.
 * @property roofs by precision.
 * @property results at least one.
 */
data class DeviceReport(
    val schemaVersion: String = SCHEMA_VERSION,
    val created: String,
    val app: String,
    val fixture: Boolean = false,
    val versions: Map<String, String>,
    val device: Device,
    val settings: Settings,
    val conditions: Conditions? = null,
    val roofs: Map<String, Roof> = emptyMap(),
    val results: List<Result>,
    val unknown: Map<String, Json> = emptyMap(),
) {
    /** The text of the file. */
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
        unknown = unknown,
    ).text()

    companion object {
        private const val KIND = "device_report"

        /**
         * The report in the text of a file.
         *
         * @param source where it came from, for the words of an error.
         * @throws BadDocument it is not a report, or of a newer major version.
         */
        fun read(text: String, source: String): DeviceReport = readDocument(text, source, KIND, "a device report", ::of)

        private fun of(fields: Fields): DeviceReport = DeviceReport(
            schemaVersion = fields.text("schema_version"),
            created = fields.text("created"),
            app = fields.text("app"),
            fixture = fields.flagOrNull("fixture") ?: false,
            versions = fields.map("versions") { inner, name -> inner.text(name) },
            device = fields.child("device", Device::of),
            settings = fields.child("settings", Settings::of),
            conditions = fields.childOrNull("conditions", Conditions::of),
            roofs = fields.orElse("roofs", emptyMap()) { name ->
                fields.map(name) { inner, precision -> inner.child(precision, Roof::of) }
            },
            results = fields.someChildren("results", Result::of),
            unknown = fields.unknown(),
        )
    }
}

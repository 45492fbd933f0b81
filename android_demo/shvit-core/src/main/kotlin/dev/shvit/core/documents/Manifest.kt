package dev.shvit.core.documents

import dev.shvit.core.ShvitException.InvalidDocument
import dev.shvit.core.ShvitException.UnsupportedDocument
import dev.shvit.core.detection.Detection
import dev.shvit.core.images.Preprocessing
import dev.shvit.core.json.Fields
import dev.shvit.core.json.Json
import dev.shvit.core.json.json
import dev.shvit.core.json.jsonObject
import dev.shvit.core.json.text
import dev.shvit.core.json.word

/** The artifact's name, size and SHA-256, computed by [dev.shvit.core.models.sha256]. */
data class ArtifactFile(
    val name: String,
    val bytes: Long,
    val sha256: String,
    val unknown: Map<String, Json> = emptyMap(),
) {
    internal fun json(): Json.Object =
        jsonObject("name" to json(name), "bytes" to json(bytes), "sha256" to json(sha256), unknown = unknown)

    companion object {
        internal fun of(fields: Fields): ArtifactFile = ArtifactFile(
            fields.text("name"),
            fields.whole("bytes", least = 0),
            fields.sha256("sha256"),
            fields.unknown(),
        )
    }
}

/** The model that an artifact was exported from. */
data class Provenance(
    val variant: String,
    val classes: Int,
    val source: String,
    val dialect: String,
    val checkpointSha256: String,
    val unknown: Map<String, Json> = emptyMap(),
) {
    internal fun json(): Json.Object = jsonObject(
        "variant" to json(variant),
        "classes" to json(classes),
        "source" to json(source),
        "dialect" to json(dialect),
        "checkpoint_sha256" to json(checkpointSha256),
        unknown = unknown,
    )

    companion object {
        internal fun of(fields: Fields): Provenance = Provenance(
            fields.text("variant"),
            fields.count("classes"),
            fields.text("source"),
            fields.text("dialect"),
            fields.sha256("checkpoint_sha256"),
            fields.unknown(),
        )
    }
}

/**
 * An output with a value for each channel and position.
 *
 * @property name Its name in the artifact.
 * @property shape (channels, rows, columns) for one picture.
 * @property stride The distance of neighboring positions, in pixels of the input.
 */
data class OutputMap(
    val name: String,
    val shape: List<Int>,
    val stride: Int,
    val unknown: Map<String, Json> = emptyMap(),
) {
    internal fun json(): Json.Object = jsonObject(
        "name" to json(name),
        "shape" to json(shape) { json(it) },
        "stride" to json(stride),
        unknown = unknown,
    )

    companion object {
        internal fun of(fields: Fields): OutputMap {
            val shape = fields.counts("shape", least = 1)
            if (shape.size != 3) fields.fail("shape", "it must be (channels, rows, columns)")
            return OutputMap(fields.text("name"), shape, fields.count("stride", least = 1), fields.unknown())
        }
    }
}

/**
 * The artifact's outputs.
 *
 * @property logits The name of a classifier's logits; null for other tasks.
 * @property probabilities The name of the probabilities, with [label]: only in a Core ML classifier.
 * @property maps The outputs of other tasks, in the order in which the artifact returns them.
 */
data class OutputContract(
    val logits: String?,
    val probabilities: String? = null,
    val label: String? = null,
    val maps: List<OutputMap> = emptyList(),
    val unknown: Map<String, Json> = emptyMap(),
) {
    /** The names of the outputs that a runtime returns, in the order of the artifact. */
    val names: List<String> get() = logits?.let(::listOf) ?: maps.map { it.name }

    internal fun json(): Json.Object = jsonObject(
        "logits" to json(logits),
        "probabilities" to json(probabilities),
        "label" to json(label),
        if (maps.isEmpty()) null else "maps" to json(maps) { it.json() },
        unknown = unknown,
    )

    companion object {
        internal fun of(fields: Fields): OutputContract = OutputContract(
            fields.textOrNull("logits"),
            fields.textOrNull("probabilities"),
            fields.textOrNull("label"),
            fields.orElse("maps", emptyList()) { fields.children(it, OutputMap::of) },
            fields.unknown(),
        )
    }
}

/**
 * An artifact's operators and weights.
 *
 * @property operators The number of operators of each kind, by the target's names.
 * @property weightBytes Bytes of constants by dtype.
 * @property quantizedLayers The number of layers that multiply int8 activations by int8 weights.
 */
data class Inventory(
    val operators: Map<String, Long>,
    val weightBytes: Map<String, Long>,
    val quantizedLayers: Int = 0,
    val unknown: Map<String, Json> = emptyMap(),
) {
    internal fun json(): Json.Object = jsonObject(
        "operators" to json(operators) { json(it) },
        "weight_bytes" to json(weightBytes) { json(it) },
        "quantized_layers" to json(quantizedLayers),
        unknown = unknown,
    )

    companion object {
        internal fun of(fields: Fields): Inventory = Inventory(
            fields.map("operators") { inner, name -> inner.whole(name) },
            fields.map("weight_bytes") { inner, name -> inner.whole(name) },
            fields.countOrNull("quantized_layers", least = Int.MIN_VALUE) ?: 0,
            fields.unknown(),
        )
    }
}

/** The share of an ExecuTorch program that a backend runs. */
data class Delegation(
    val backend: String,
    val delegates: Int,
    val delegatedOperators: Int,
    val leftOperators: Map<String, Long>,
    val unknown: Map<String, Json> = emptyMap(),
) {
    /** The backend's common name. */
    val name: String get() = NAMES[backend] ?: backend

    /** The share of delegated operators, from 0 to 1. */
    val share: Double
        get() {
            val total = delegatedOperators + leftOperators.values.sum()
            return if (total == 0L) 1.0 else delegatedOperators.toDouble() / total
        }

    internal fun json(): Json.Object = jsonObject(
        "backend" to json(backend),
        "delegates" to json(delegates),
        "delegated_operators" to json(delegatedOperators),
        "left_operators" to json(leftOperators) { json(it) },
        unknown = unknown,
    )

    companion object {
        private val NAMES = mapOf("XnnpackBackend" to "XNNPACK")

        internal fun of(fields: Fields): Delegation = Delegation(
            fields.text("backend"),
            fields.count("delegates"),
            fields.count("delegated_operators"),
            fields.map("left_operators") { inner, name -> inner.whole(name) },
            fields.unknown(),
        )
    }
}

/**
 * What the artifact computed for [dev.shvit.core.images.Pixels.ramp] at export.
 *
 * @property logits Those of a classifier; empty for other tasks.
 * @property sampledOutputs Which values of maps are stored, with [sampledValues], one output after the other.
 */
data class Golden(
    val logits: List<Double>,
    val how: Execution,
    val tolerance: Double,
    val sampledOutputs: List<OutputSamples> = emptyList(),
    val sampledValues: List<Double> = emptyList(),
    val unknown: Map<String, Json> = emptyMap(),
) {
    internal fun json(): Json.Object = jsonObject(
        "picture" to json(PICTURE),
        "logits" to json(logits) { json(it) },
        if (sampledOutputs.isEmpty()) null else "sampled_outputs" to json(sampledOutputs) { it.json() },
        if (sampledValues.isEmpty()) null else "sampled_values" to json(sampledValues) { json(it) },
        "how" to json(how),
        "tolerance" to json(tolerance),
        unknown = unknown,
    )

    companion object {
        private const val PICTURE = "ramp"

        internal fun of(fields: Fields): Golden {
            val picture = fields.textOrNull("picture") ?: PICTURE
            if (picture != PICTURE) fields.fail("picture", "'$picture' is not a known picture")
            return Golden(
                fields.orElse("logits", emptyList()) { fields.numbers(it) },
                fields.word("how"),
                fields.number("tolerance"),
                fields.orElse("sampled_outputs", emptyList()) { fields.children(it, OutputSamples::of) },
                fields.orElse("sampled_values", emptyList()) { fields.numbers(it) },
                fields.unknown(),
            )
        }
    }
}

/** The folder of goldens beside the artifact, and its SHA-256. */
data class GoldensFolder(val name: String, val sha256: String, val unknown: Map<String, Json> = emptyMap()) {
    internal fun json(): Json.Object = jsonObject("name" to json(name), "sha256" to json(sha256), unknown = unknown)

    companion object {
        internal fun of(fields: Fields): GoldensFolder =
            GoldensFolder(fields.text("name"), fields.sha256("sha256"), fields.unknown())
    }
}

/**
 * The description of an artifact: everything that an app needs to run it. Stored beside it as `NAME.manifest.json`.
 *
 * @property task What the model computes.
 * @property labels The class names, in the order of the logits or scores; empty for feature maps.
 * @property detection How the maps of a detector become boxes; null for other tasks.
 * @property recipe The quantization recipe as JSON; an app does not use it.
 * @property options The options of the export as JSON: texts, whole numbers and flags.
 * @property sizes The image sizes of a program with several, as JSON; an app runs the first, which all other fields are
 *   about.
 * @property contentSha256 The exporter's checksum of the manifest's own content. An app keeps it and does not check it.
 */
data class Manifest(
    val schemaVersion: String = VERSION,
    val artifact: ArtifactFile,
    val task: Task = Task.CLASSIFY,
    val target: Target,
    val precision: Precision,
    val model: Provenance,
    val labels: List<String>,
    val preprocessing: Preprocessing,
    val input: InputContract,
    val output: OutputContract,
    val detection: Detection? = null,
    val recipe: Json.Object,
    val options: Map<String, Json>,
    val versions: Map<String, String>,
    val inventory: Inventory,
    val delegation: Delegation? = null,
    val golden: Golden? = null,
    val goldens: GoldensFolder? = null,
    val drift: DriftRow? = null,
    val sizes: List<Json> = emptyList(),
    val contentSha256: String? = null,
    val unknown: Map<String, Json> = emptyMap(),
) {
    /** Returns the text of the file. */
    fun text(): String = jsonObject(
        "schema_version" to json(schemaVersion),
        "kind" to json(KIND),
        "artifact" to artifact.json(),
        "task" to json(task),
        "target" to json(target),
        "precision" to json(precision),
        "model" to model.json(),
        "labels" to json(labels) { json(it) },
        "preprocessing" to preprocessing.json(),
        "input" to input.json(),
        "output" to output.json(),
        detection?.let { "detection" to it.json() },
        "recipe" to recipe,
        "options" to Json.Object(options),
        "versions" to json(versions) { json(it) },
        "inventory" to inventory.json(),
        "delegation" to (delegation?.json() ?: Json.Null),
        "golden" to (golden?.json() ?: Json.Null),
        "goldens" to (goldens?.json() ?: Json.Null),
        "drift" to (drift?.json() ?: Json.Null),
        if (sizes.isEmpty()) null else "sizes" to Json.Array(sizes),
        contentSha256?.let { "content_sha256" to json(it) },
        unknown = unknown,
    ).text()

    /** Returns a field that contradicts the task, and how; null if there is none. */
    private fun findContradiction(): Pair<String, String>? {
        val named = "it does not fit the task ${task.word}"
        val fits = if (task == Task.CLASSIFY) output.logits != null && output.maps.isEmpty() else output.maps.isNotEmpty()
        if (!fits || (task != Task.CLASSIFY && output.logits != null)) return "output" to named
        if ((task == Task.DETECT) != (detection != null)) return "detection" to named
        val strides = detection?.strides ?: return null
        val expected = listOf(labels.size, 4).flatMap { channels -> strides.map { channels * detection.anchors to it } }
        val found = output.maps.map { it.shape[0] to it.stride }
        return if (found == expected) null else "output.maps" to "they are no scores and boxes of the strides $strides"
    }

    companion object {
        private const val KIND = "manifest"
        private const val VERSION = "1.1"

        /**
         * Parses the text of a file.
         *
         * @param source The name of the file, for errors.
         * @throws InvalidDocument If it is not a manifest.
         * @throws UnsupportedDocument If it has a newer major version, or an unknown task.
         */
        fun read(text: String, source: String): Manifest =
            readDocument(text, source, KIND, "a manifest", { of(it, readTask(it, source)) }, VERSION)

        /** Reads the task before all other fields, which depend on it; version 1.0 had classifiers only. */
        private fun readTask(fields: Fields, source: String): Task {
            val given = fields.textOrNull("task") ?: return Task.CLASSIFY
            return Task.entries.firstOrNull { it.word == given } ?: throw UnsupportedDocument(
                "$source is a manifest of the unknown task '$given'.",
                "This app knows the tasks ${Task.entries.joinToString { it.word }}.",
                "Export the model with --task classify or detect, or update the app.",
            )
        }

        private fun of(fields: Fields, task: Task): Manifest = Manifest(
            schemaVersion = fields.text("schema_version"),
            artifact = fields.child("artifact", ArtifactFile::of),
            task = task,
            target = fields.word("target"),
            precision = fields.word("precision"),
            model = fields.child("model", Provenance::of),
            labels = fields.texts("labels"),
            preprocessing = fields.child("preprocessing", Preprocessing::of),
            input = fields.child("input", InputContract::of),
            output = fields.child("output", OutputContract::of),
            detection = fields.childOrNull("detection", Detection::of),
            recipe = fields.tree("recipe"),
            options = fields.tree("options").fields,
            versions = fields.map("versions") { inner, name -> inner.text(name) },
            inventory = fields.child("inventory", Inventory::of),
            delegation = fields.childOrNull("delegation", Delegation::of),
            golden = fields.childOrNull("golden", Golden::of),
            goldens = fields.childOrNull("goldens", GoldensFolder::of),
            drift = fields.childOrNull("drift", DriftRow::of),
            sizes = fields.orElse("sizes", emptyList()) { fields.trees(it) },
            contentSha256 = fields.sha256OrNull("content_sha256"),
            unknown = fields.unknown(),
        ).also { manifest -> manifest.findContradiction()?.let { (field, what) -> fields.fail(field, what) } }
    }
}

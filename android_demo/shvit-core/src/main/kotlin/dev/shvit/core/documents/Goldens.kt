package dev.shvit.core.documents

import dev.shvit.core.ShvitException.InvalidDocument
import dev.shvit.core.ShvitException.UnsupportedDocument
import dev.shvit.core.images.Preprocessing
import dev.shvit.core.json.Fields
import dev.shvit.core.json.Fields.Companion.POSITIVE
import dev.shvit.core.json.Json
import dev.shvit.core.json.json
import dev.shvit.core.json.jsonObject
import dev.shvit.core.json.text
import dev.shvit.core.json.word

/**
 * The positions of a map whose values are stored; a whole map is too large for JSON.
 *
 * @property name The output's name.
 * @property positions Places in the map, which has the order channels, rows, columns; increasing.
 * @property tolerance The largest difference of a value that kernels of other processors may cause.
 */
data class OutputSamples(
    val name: String,
    val positions: List<Int>,
    val tolerance: Double,
    val unknown: Map<String, Json> = emptyMap(),
) {
    internal fun json(): Json.Object = jsonObject(
        "name" to json(name),
        "positions" to json(positions) { json(it) },
        "tolerance" to json(tolerance),
        unknown = unknown,
    )

    companion object {
        internal fun of(fields: Fields): OutputSamples {
            val positions = fields.counts("positions")
            if (positions.isEmpty()) fields.fail("positions", "there are none")
            if (positions.zipWithNext().any { (one, next) -> one >= next }) fields.fail("positions", "they are out of order")
            return OutputSamples(fields.text("name"), positions, fields.number("tolerance", POSITIVE), fields.unknown())
        }
    }
}

/**
 * A golden: a picture with the pixels and outputs that an artifact must reproduce on a device.
 *
 * @property image The file name of the encoded picture, a JPEG.
 * @property pixels The file name of its pixels: bytes in the order rows, columns, channels, without a header.
 * @property logits The artifact's logits for these pixels, computed at export; empty for other tasks.
 * @property floatLogits The float model's logits for these pixels.
 * @property sampledValues For other tasks, the artifact's values at the positions of [Goldens.sampledOutputs], output by
 *   output; [floatSampledValues] are the float model's.
 */
data class GoldenImage(
    val image: String,
    val imageSha256: String,
    val pixels: String,
    val pixelsSha256: String,
    val logits: List<Double>,
    val floatLogits: List<Double>,
    val sampledValues: List<Double> = emptyList(),
    val floatSampledValues: List<Double> = emptyList(),
    val unknown: Map<String, Json> = emptyMap(),
) {
    /** What is compared: the logits, or the values of maps. */
    internal val expected: List<Double> get() = sampledValues.ifEmpty { logits }

    internal fun json(): Json.Object = jsonObject(
        "image" to json(image),
        "image_sha256" to json(imageSha256),
        "pixels" to json(pixels),
        "pixels_sha256" to json(pixelsSha256),
        "logits" to json(logits) { json(it) },
        "float_logits" to json(floatLogits) { json(it) },
        if (sampledValues.isEmpty()) null else "sampled_values" to json(sampledValues) { json(it) },
        if (floatSampledValues.isEmpty()) null else "float_sampled_values" to json(floatSampledValues) { json(it) },
        unknown = unknown,
    )

    companion object {
        internal fun of(fields: Fields): GoldenImage = GoldenImage(
            image = fields.text("image"),
            imageSha256 = fields.sha256("image_sha256"),
            pixels = fields.text("pixels"),
            pixelsSha256 = fields.sha256("pixels_sha256"),
            logits = fields.orElse("logits", emptyList()) { fields.numbers(it) },
            floatLogits = fields.orElse("float_logits", emptyList()) { fields.numbers(it) },
            sampledValues = fields.orElse("sampled_values", emptyList()) { fields.numbers(it) },
            floatSampledValues = fields.orElse("float_sampled_values", emptyList()) { fields.numbers(it) },
            unknown = fields.unknown(),
        )
    }
}

/**
 * An artifact's goldens: the content of `goldens.json` in their folder.
 *
 * @property artifactSha256 The SHA-256 of the artifact that the goldens belong to.
 * @property how How the artifact was executed, with [engine].
 * @property tolerance The largest difference of a logit that kernels of other processors may cause; of maps, the largest
 *   tolerance of [sampledOutputs].
 * @property sampledOutputs Which values of each map are stored; empty for a classifier.
 * @property pixelsTolerance The mean absolute difference, from 0 to 255, that another JPEG decoder may cause.
 * @property reducedPixelsTolerance The same for a picture that is decoded at reduced scale; null in version 1.0, whose
 *   pictures have the usual tolerance.
 * @property images The goldens; at least one.
 */
data class Goldens(
    val schemaVersion: String = VERSION,
    val artifactSha256: String,
    val precision: Precision,
    val preprocessing: Preprocessing,
    val how: Execution,
    val engine: String,
    val tolerance: Double,
    val pixelsTolerance: Double,
    val reducedPixelsTolerance: Double?,
    val images: List<GoldenImage>,
    val sampledOutputs: List<OutputSamples> = emptyList(),
    val unknown: Map<String, Json> = emptyMap(),
) {
    /** Returns the text of the file. */
    fun text(): String = jsonObject(
        "schema_version" to json(schemaVersion),
        "kind" to json(KIND),
        "artifact_sha256" to json(artifactSha256),
        "precision" to json(precision),
        "preprocessing" to preprocessing.json(),
        "how" to json(how),
        "engine" to json(engine),
        "tolerance" to json(tolerance),
        if (sampledOutputs.isEmpty()) null else "sampled_outputs" to json(sampledOutputs) { it.json() },
        "pixels_tolerance" to json(pixelsTolerance),
        reducedPixelsTolerance?.let { REDUCED to json(it) },
        "images" to json(images) { it.json() },
        unknown = unknown,
    ).text()

    companion object {
        /** The file's name in its folder. */
        const val FILE = "goldens.json"
        private const val KIND = "goldens"
        private const val REDUCED = "reduced_pixels_tolerance"
        private const val VERSION = "1.2"

        /** The version without a tolerance for reduced scale. */
        private const val FIRST_VERSION = "1.0"

        /**
         * Parses the text of a file.
         *
         * @param source The name of the file, for errors.
         * @throws InvalidDocument If it is not a list of goldens.
         * @throws UnsupportedDocument If it has a newer major version.
         */
        fun read(text: String, source: String): Goldens = readDocument(text, source, KIND, "a list of goldens", ::of, VERSION)

        private fun of(fields: Fields): Goldens = Goldens(
            schemaVersion = fields.text("schema_version"),
            artifactSha256 = fields.sha256("artifact_sha256"),
            precision = fields.word("precision"),
            preprocessing = fields.child("preprocessing", Preprocessing::of),
            how = fields.word("how"),
            engine = fields.text("engine"),
            tolerance = fields.number("tolerance", POSITIVE),
            pixelsTolerance = fields.number("pixels_tolerance", POSITIVE),
            reducedPixelsTolerance = fields.numberOrNull(REDUCED, POSITIVE),
            images = fields.someChildren("images", GoldenImage::of),
            sampledOutputs = fields.orElse("sampled_outputs", emptyList()) { fields.children(it, OutputSamples::of) },
            unknown = fields.unknown(),
        ).also {
            if (it.reducedPixelsTolerance == null) {
                if (it.schemaVersion != FIRST_VERSION) fields.fail(REDUCED, "it is missing")
            } else if (it.reducedPixelsTolerance < it.pixelsTolerance) {
                fields.fail(REDUCED, "it is below pixels_tolerance")
            }
            val sampled = it.sampledOutputs.sumOf { one -> one.positions.size }
            for ((index, image) in it.images.withIndex()) {
                if (image.sampledValues.size != sampled) {
                    fields.fail("images.$index", "it has ${image.sampledValues.size} values for $sampled positions")
                }
            }
        }
    }
}

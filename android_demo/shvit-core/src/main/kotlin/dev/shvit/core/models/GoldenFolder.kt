package dev.shvit.core.models

import dev.shvit.core.ShvitException.ArtifactChanged
import dev.shvit.core.documents.GoldenCheck
import dev.shvit.core.documents.GoldenImage
import dev.shvit.core.documents.Goldens
import dev.shvit.core.images.Picture
import dev.shvit.core.images.Pixels
import java.io.IOException
import kotlin.math.abs
import kotlin.math.log10

/** Decodes an encoded image into an upright, opaque picture; on a phone with `BitmapFactory`. */
fun interface Decoder {
    /** Decodes an image. */
    fun decode(encoded: ByteArray): Picture
}

/** An artifact's goldens and their folder. */
class GoldenFolder(val goldens: Goldens, private val files: Files, private val folder: String) {
    /** A part of the outputs with a tolerance of its own: the logits, or the sampled positions of a map. */
    private class Part(val name: String?, val positions: List<Int>?, val tolerance: Double)

    private val parts: List<Part> = goldens.sampledOutputs.map { Part(it.name, it.positions, it.tolerance) }
        .ifEmpty { listOf(Part(null, null, goldens.tolerance)) }

    /**
     * Runs the golden check, in two parts: preprocessing and inference.
     *
     * Preprocessing: the app's pixels of each encoded picture are compared with the stored ones. A picture that was
     * decoded at reduced scale has a tolerance of its own. Inference: the artifact runs on the stored pixels, and its
     * logits, or values of its maps, are compared. Of several maps, the one that is furthest beyond its tolerance counts.
     *
     * @param preprocess The app's preprocessing of a decoded picture: [dev.shvit.core.images.Preprocessor.pixels].
     * @throws ArtifactChanged If a file is missing or damaged, or the model has other outputs.
     */
    fun check(decoder: Decoder, preprocess: (Picture) -> Pixels, runner: Runner): GoldenCheck {
        val answers = goldens.images.map { image ->
            val stored = pixels(image)
            val picture = decoder.decode(bytes(image.image, image.imageSha256))
            val difference = preprocess(picture).differenceFrom(stored)
            Answer(difference, tolerance(picture), values(runner.outputs(stored), image))
        }
        // A failed picture is worse than one that passed, whatever their tolerances.
        val worst = answers.maxWith(compareBy({ it.pixels > it.tolerance }, { it.pixels }))
        val compared = parts.indices.map { part ->
            val expected = goldens.images.flatMap { expected(it, part) }
            Comparison(expected, answers.flatMap { it.values[part] }, parts[part].tolerance)
        }
        val furthest = compared.maxBy { it.largest / maxOf(it.tolerance, Double.MIN_VALUE) }
        val sameClass = goldens.images.indices.count { image ->
            largestPlace(goldens.images[image].logits) == largestPlace(answers[image].values[0])
        }
        return GoldenCheck(
            images = answers.size,
            preprocessingPassed = worst.pixels <= worst.tolerance,
            pixelsDifference = worst.pixels,
            inferencePassed = furthest.largest <= furthest.tolerance,
            largestDifference = furthest.largest,
            tolerance = furthest.tolerance,
            sqnrDb = compared.minOf { it.sqnrDb },
            sameClass = sameClass.takeIf { goldens.sampledOutputs.isEmpty() },
        )
    }

    /** Returns the stored values of a part. */
    private fun expected(image: GoldenImage, part: Int): List<Double> {
        val counts = parts.map { it.positions?.size ?: image.logits.size }
        val first = counts.take(part).sum()
        return image.expected.subList(first, first + counts[part])
    }

    /** Returns the values of each part of the outputs for a picture. */
    private fun values(outputs: Map<String, FloatArray>, image: GoldenImage): List<List<Double>> = parts.map { part ->
        val found = if (part.name == null) outputs.values.singleOrNull() else outputs[part.name]
        val positions = part.positions ?: image.logits.indices.toList()
        val fits = if (part.positions == null) found?.size == positions.size else positions.last() < (found?.size ?: 0)
        if (found == null || !fits) {
            val held = part.name?.let { "values of $it" } ?: "${positions.size} logits"
            val returned = outputs.entries.joinToString { "${it.value.size} values as ${it.key}" }
            throw ArtifactChanged("The model returned $returned, but its goldens have $held.", OTHER)
        }
        positions.map { found[it].toDouble() }
    }

    private fun tolerance(picture: Picture): Double =
        goldens.reducedPixelsTolerance?.takeIf { picture.reduction > 1 } ?: goldens.pixelsTolerance

    private fun pixels(image: GoldenImage): Pixels {
        val preprocessing = goldens.preprocessing
        return Pixels(preprocessing.height, preprocessing.width, bytes(image.pixels, image.pixelsSha256))
    }

    private fun bytes(name: String, sha256: String): ByteArray {
        val bytes = try {
            files.bytes("$folder/$name")
        } catch (reason: IOException) {
            throw ArtifactChanged(
                "$folder/$name cannot be read: ${reason.message}.",
                "The goldens list this file.",
                AGAIN,
            )
        }
        if (sha256(bytes) != sha256) throw ArtifactChanged("$folder/$name is damaged.", "Its SHA-256 differs.", AGAIN)
        return bytes
    }

    private companion object {
        const val OTHER = "The goldens may belong to another model."
    }
}

/** A device's results for one golden: the difference of its pixels, and the values of each part of the outputs. */
private class Answer(val pixels: Double, val tolerance: Double, val values: List<List<Double>>)

/** The values of a part over all pictures. */
private class Comparison(expected: List<Double>, actual: List<Double>, val tolerance: Double) {
    /** The largest difference; the largest finite number if one is NaN. */
    val largest: Double = expected.indices.maxOfOrNull { abs(expected[it] - actual[it]) }
        ?.let { if (it.isFinite()) it else Double.MAX_VALUE } ?: 0.0

    val sqnrDb: Double = sqnr(expected, actual)
}

private fun largestPlace(logits: List<Double>): Int = logits.indices.maxByOrNull { logits[it] } ?: -1

/**
 * 10 log10(sum r^2
 * sum (r - a)^2) in dB; infinite if they are equal, and the lowest number if one is NaN.
 */
private fun sqnr(reference: List<Double>, actual: List<Double>): Double {
    val noise = reference.indices.sumOf { (reference[it] - actual[it]) * (reference[it] - actual[it]) }
    if (noise == 0.0) return Double.POSITIVE_INFINITY
    if (!noise.isFinite()) return Double.NEGATIVE_INFINITY
    return 10 * log10(reference.sumOf { it * it } / noise)
}

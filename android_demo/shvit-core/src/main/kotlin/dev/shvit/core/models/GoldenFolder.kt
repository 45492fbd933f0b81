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
    /**
     * Runs the golden check, in two parts: preprocessing and inference.
     *
     * Preprocessing: the app's pixels of each encoded picture are compared with the stored ones. A picture that was
     * decoded at reduced scale has a tolerance of its own. Inference: the artifact runs on the stored pixels, and its
     * logits are compared.
     *
     * @param preprocess The app's preprocessing of a decoded picture: [dev.shvit.core.images.Preprocessor.pixels].
     * @throws ArtifactChanged If a file is missing or damaged, or the model has another number of classes.
     */
    fun check(decoder: Decoder, preprocess: (Picture) -> Pixels, classifier: Classifier): GoldenCheck {
        val answers = goldens.images.map { image ->
            val stored = pixels(image)
            val picture = decoder.decode(bytes(image.image, image.imageSha256))
            val difference = preprocess(picture).differenceFrom(stored)
            Answer(difference, tolerance(picture), image.logits, logits(classifier, stored, image))
        }
        // A failed picture is worse than one that passed, whatever their tolerances.
        val worst = answers.maxWith(compareBy({ it.pixels > it.tolerance }, { it.pixels }))
        val largest = answers.maxOf { it.largest }
        return GoldenCheck(
            images = answers.size,
            preprocessingPassed = worst.pixels <= worst.tolerance,
            pixelsDifference = worst.pixels,
            inferencePassed = largest <= goldens.tolerance,
            largestDifference = largest,
            tolerance = goldens.tolerance,
            sqnrDb = sqnr(answers.flatMap { it.expected }, answers.flatMap { it.actual }),
            sameClass = answers.count { it.sameClass },
        )
    }

    private fun tolerance(picture: Picture): Double =
        goldens.reducedPixelsTolerance?.takeIf { picture.reduction > 1 } ?: goldens.pixelsTolerance

    private fun pixels(image: GoldenImage): Pixels {
        val preprocessing = goldens.preprocessing
        return Pixels(preprocessing.height, preprocessing.width, bytes(image.pixels, image.pixelsSha256))
    }

    private fun logits(classifier: Classifier, pixels: Pixels, image: GoldenImage): List<Double> {
        val logits = classifier.logits(pixels).map(Float::toDouble)
        if (logits.size != image.logits.size) {
            throw ArtifactChanged(
                "The model has ${logits.size} logits, but its goldens have ${image.logits.size}.",
                OTHER,
            )
        }
        return logits
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

/** A device's results for one golden. */
private class Answer(val pixels: Double, val tolerance: Double, val expected: List<Double>, val actual: List<Double>) {
    /** The largest difference of a logit; the largest finite number if one is NaN. */
    val largest: Double = expected.indices.maxOfOrNull { abs(expected[it] - actual[it]) }
        ?.let { if (it.isFinite()) it else Double.MAX_VALUE } ?: 0.0

    val sameClass: Boolean = largestPlace(expected) == largestPlace(actual)

    private fun largestPlace(logits: List<Double>): Int = logits.indices.maxByOrNull { logits[it] } ?: -1
}

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

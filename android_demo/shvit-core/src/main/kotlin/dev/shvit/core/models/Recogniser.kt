package dev.shvit.core.models

import dev.shvit.core.documents.Manifest
import dev.shvit.core.images.Picture
import dev.shvit.core.images.Preprocessor
import dev.shvit.core.measure.Clock
import java.io.Closeable

/**
 * What a model sees in a picture, and how long that took.
 *
 * @property best likeliest first.
 * @property preparationMs from the picture to the model's input.
 * @property inferenceMs of the model alone.
 */
data class Recognition(val best: List<Prediction>, val preparationMs: Double, val inferenceMs: Double)

/** A loaded model with all that its manifest asks for. Used by one thread at a time; closes the classifier. */
class Recogniser(
    private val manifest: Manifest,
    private val classifier: Classifier,
    private val clock: Clock,
) : Closeable by classifier {
    private val preprocessor = Preprocessor(manifest.preprocessing)

    /** Names a picture: the [count] likeliest classes. */
    fun recognise(picture: Picture, count: Int = 5): Recognition {
        val start = clock.nanoseconds()
        val inference = classifier.prepared(preprocessor.pixels(picture))
        val prepared = clock.nanoseconds()
        val logits = inference.run()
        val end = clock.nanoseconds()
        val best = predictions(logits, manifest.labels, count)
        return Recognition(best, (prepared - start) / 1e6, (end - prepared) / 1e6)
    }
}

package dev.shvit.core.models

import dev.shvit.core.BadModel
import kotlin.math.exp

/**
 * A class and how likely the model holds it to be.
 *
 * @property index of the class.
 * @property label the class's name.
 * @property probability 0 to 1.
 */
data class Prediction(val index: Int, val label: String, val probability: Double)

/** exp of each logit over the sum of all; the largest is subtracted first, so that none overflows. */
fun softmax(logits: FloatArray): DoubleArray {
    val largest = logits.maxOrNull() ?: return DoubleArray(0)
    val powers = DoubleArray(logits.size) { exp((logits[it] - largest).toDouble()) }
    val sum = powers.sum()
    return DoubleArray(powers.size) { powers[it] / sum }
}

/**
 * The likeliest classes, likeliest first; of two as likely, the first of the model's.
 *
 * @param count at most so many.
 * @throws BadModel there are not as many logits as labels, or one is not finite.
 */
fun predictions(logits: FloatArray, labels: List<String>, count: Int = 5): List<Prediction> {
    if (logits.size != labels.size) {
        throw BadModel("The model gave ${logits.size} logits for ${labels.size} labels.", "Each class has one.")
    }
    if (!logits.all(Float::isFinite)) {
        throw BadModel("The model gave a logit that is not a number.", "The artifact may be damaged.")
    }
    val probabilities = softmax(logits)
    return logits.indices.sortedByDescending { logits[it] }.take(count)
        .map { Prediction(it, labels[it], probabilities[it]) }
}

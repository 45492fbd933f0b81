package dev.shvit.core.models

import dev.shvit.core.ShvitException.RuntimeFailure
import kotlin.math.exp

/**
 * A class and its probability.
 *
 * @property index The class's index.
 * @property label The class's name.
 * @property probability The probability, from 0 to 1.
 */
data class Prediction(val index: Int, val label: String, val probability: Double)

/** Returns the softmax of logits. Subtracts the maximum first, so that exp does not overflow. */
fun softmax(logits: FloatArray): DoubleArray {
    val largest = logits.maxOrNull() ?: return DoubleArray(0)
    val powers = DoubleArray(logits.size) { exp((logits[it] - largest).toDouble()) }
    val sum = powers.sum()
    return DoubleArray(powers.size) { powers[it] / sum }
}

/**
 * Returns the most likely classes, most likely first. The lower index wins a tie.
 *
 * @param count The maximum number of classes.
 * @throws RuntimeFailure If the numbers of logits and labels differ, or a logit is not finite.
 */
fun predictions(logits: FloatArray, labels: List<String>, count: Int = 5): List<Prediction> {
    if (logits.size != labels.size) {
        throw RuntimeFailure(
            "The model returned ${logits.size} logits for ${labels.size} labels.",
            "Each class needs one.",
        )
    }
    if (!logits.all(Float::isFinite)) {
        throw RuntimeFailure("The model returned a logit that is not a finite number.", "The artifact may be damaged.")
    }
    val probabilities = softmax(logits)
    return logits.indices.sortedByDescending { logits[it] }.take(count)
        .map { Prediction(it, labels[it], probabilities[it]) }
}

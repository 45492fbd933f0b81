package dev.shvit.core.models

import dev.shvit.core.ShvitException.RuntimeFailure
import kotlin.math.exp
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class PredictionsTest {
    private val labels = listOf("cat", "dog", "ship", "truck")

    @Test
    fun `the most likely classes come first, with probabilities`() {
        val best = predictions(floatArrayOf(1f, 3f, 2f, 3f), labels, count = 3)
        assertEquals(listOf("dog", "truck", "ship"), best.map(Prediction::label))
        assertEquals(listOf(1, 3, 2), best.map(Prediction::index))
        val sum = exp(-2.0) + 1 + exp(-1.0) + 1
        assertEquals(1 / sum, best[0].probability, 1e-12)
        assertEquals(exp(-1.0) / sum, best[2].probability, 1e-12)
    }

    @Test
    fun `large logits do not overflow`() {
        assertEquals(listOf(0.5, 0.5), softmax(floatArrayOf(1e30f, 1e30f)).toList())
        assertEquals(0, softmax(floatArrayOf()).size)
    }

    @Test
    fun `there are at most as many predictions as classes`() {
        assertEquals(4, predictions(floatArrayOf(1f, 2f, 3f, 4f), labels, count = 5).size)
    }

    @Test
    fun `logits that are not finite or do not fit the labels are rejected`() {
        assertFailsWith<RuntimeFailure> { predictions(floatArrayOf(1f), labels) }
        assertFailsWith<RuntimeFailure> { predictions(floatArrayOf(1f, Float.NaN, 2f, 3f), labels) }
    }
}

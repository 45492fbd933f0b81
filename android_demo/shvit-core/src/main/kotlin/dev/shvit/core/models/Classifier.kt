package dev.shvit.core.models

import dev.shvit.core.images.Pixels
import dev.shvit.core.measure.StageTimer
import java.io.Closeable

/** A loaded model of any runtime. Use it from one thread at a time. */
interface Classifier : Closeable {
    /**
     * Returns the logits for pixels, one per class.
     *
     * @param timer Gets the duration of each part: the tensor's values count as preprocessing, the runtime's input as
     *   tensor, the call of the runtime as inference, the reading of its output as decoding.
     */
    fun logits(pixels: Pixels, timer: StageTimer? = null): FloatArray
}

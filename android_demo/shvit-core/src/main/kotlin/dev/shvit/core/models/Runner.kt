package dev.shvit.core.models

import dev.shvit.core.images.Pixels
import dev.shvit.core.measure.StageTimer
import java.io.Closeable

/** A loaded model of any runtime and task. Use it from one thread at a time. */
interface Runner : Closeable {
    /**
     * Returns the outputs for pixels, by their names in the manifest: one logit per class, or maps in the order channels,
     * rows, columns.
     *
     * @param timer Gets the duration of each part: the tensor's values count as preprocessing, the runtime's input as
     *   tensor, the call of the runtime as inference, the reading of its outputs as decoding.
     */
    fun outputs(pixels: Pixels, timer: StageTimer? = null): Map<String, FloatArray>
}

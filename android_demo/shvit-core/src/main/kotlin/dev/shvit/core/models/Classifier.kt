package dev.shvit.core.models

import dev.shvit.core.images.Pixels
import java.io.Closeable

/** A loaded model, whatever runs it. Used by one thread at a time. */
interface Classifier : Closeable {
    /**
     * Lays pixels out as the artifact's input. Apart from [Inference.run], so that a benchmark times the model alone,
     * as it does on a computer.
     */
    fun prepared(pixels: Pixels): Inference
}

/** The model and one input of it; may be run any number of times. */
fun interface Inference {
    /** The logits, one a class. */
    fun run(): FloatArray
}

/** The logits for pixels, one a class. */
fun Classifier.logits(pixels: Pixels): FloatArray = prepared(pixels).run()

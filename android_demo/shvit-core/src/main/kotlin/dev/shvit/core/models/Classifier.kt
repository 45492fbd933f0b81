package dev.shvit.core.models

import dev.shvit.core.images.Pixels
import java.io.Closeable

/** A loaded model of any runtime. Use it from one thread at a time. */
interface Classifier : Closeable {
    /**
     * Prepares the artifact's input. It is separate from [Inference.run], so that a benchmark measures only the model,
     * as on a computer.
     */
    fun prepare(pixels: Pixels): Inference
}

/** The model with one input. It can run any number of times. */
fun interface Inference {
    /** Returns the logits, one per class. */
    fun run(): FloatArray
}

/** Returns the logits for pixels, one per class. */
fun Classifier.logits(pixels: Pixels): FloatArray = prepare(pixels).run()

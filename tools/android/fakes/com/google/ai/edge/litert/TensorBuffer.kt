package com.google.ai.edge.litert

import fakes.Misuse

/** Memory of the runtime. */
class TensorBuffer internal constructor(private val kind: String) : AutoCloseable {
    private var values: FloatArray? = null

    init {
        Misuse.open(this, "An $kind buffer of LiteRT")
    }

    fun writeFloat(data: FloatArray) {
        check()
        if (kind != "input") Misuse.report("An $kind buffer is written")
        values = data.copyOf()
    }

    fun readFloat(): FloatArray {
        check()
        if (kind != "output") Misuse.report("An $kind buffer is read")
        return checkNotNull(values) { "the output is read before the model ran" }.copyOf()
    }

    internal fun fill(logits: FloatArray) {
        check()
        if (kind != "output") Misuse.report("An $kind buffer is given as an output")
        values = logits.copyOf()
    }

    /** Returns the values, which the caller must have written. */
    internal fun content(expected: String): FloatArray {
        check()
        if (kind != expected) Misuse.report("An $kind buffer is given as an $expected")
        return checkNotNull(values) { "a model runs before its input is written" }
    }

    override fun close() = Misuse.close(this)

    private fun check() {
        if (!Misuse.isOpen(this)) throw Misuse.fail("A closed buffer is used, which crashes the process")
    }
}

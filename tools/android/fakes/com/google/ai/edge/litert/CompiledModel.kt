package com.google.ai.edge.litert

import fakes.Misuse
import fakes.Threads
import java.io.File
import java.util.concurrent.atomic.AtomicInteger
import java.util.function.Function

enum class Accelerator { NONE, CPU, GPU, NPU }

/** No runtime exception: code that only expects those lets it pass. */
class LiteRtException(message: String) : Exception(message)

class Environment

/** A model whose logits a test chooses. Reports what crashes the process, leaks memory, or uses another processor. */
class CompiledModel private constructor(private val threads: Int?) : AutoCloseable {
    data class CpuOptions(
        val numThreads: Int? = null,
        val xnnPackFlags: Int? = null,
        val xnnPackWeightCachePath: String? = null,
    )

    class Options(internal val accelerators: Set<Accelerator>) {
        constructor(vararg accelerators: Accelerator) : this(setOf(*accelerators))

        var cpuOptions: CpuOptions? = null
    }

    private val running = AtomicInteger()
    private val buffers = ArrayList<TensorBuffer>()

    @JvmOverloads
    fun createInputBuffers(signatureIndex: Int = 0): List<TensorBuffer> = create("input", signatureIndex, inputs)

    @JvmOverloads
    fun createOutputBuffers(signatureIndex: Int = 0): List<TensorBuffer> {
        if (noMemory) throw LiteRtException("Failed to create output buffers")
        return create("output", signatureIndex, outputs)
    }

    private fun create(kind: String, signatureIndex: Int, count: Int): List<TensorBuffer> {
        check("The creation of buffers")
        if (signatureIndex != 0) throw LiteRtException("Failed to get the signature")
        return List(count) { TensorBuffer(kind) }.also { buffers += it }
    }

    @JvmOverloads
    fun run(inputs: List<TensorBuffer>, signatureIndex: Int = 0): List<TensorBuffer> =
        createOutputBuffers(signatureIndex).also { run(inputs, it, signatureIndex) }

    @JvmOverloads
    fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>, signatureIndex: Int = 0) {
        check("A run")
        if (signatureIndex != 0) throw LiteRtException("Failed to get the signature")
        Threads.refuseMain("A model runs")
        if (running.incrementAndGet() > 1) Misuse.report("Two inferences of a model run at the same time")
        try {
            val values = inputs.single().content("input")
            input = values.copyOf()
            usedThreads = threads
            RUNS.incrementAndGet()
            val computed = maps?.apply(values.copyOf()) ?: listOf(model.apply(values.copyOf()))
            for ((buffer, content) in outputs.zip(computed)) buffer.fill(content)
        } finally {
            running.decrementAndGet()
        }
    }

    override fun close() {
        if (!Misuse.isOpen(this)) return
        if (running.get() > 0) Misuse.report("A model is closed while it runs")
        if (buffers.any(Misuse::isOpen)) Misuse.report("A model is closed before its buffers")
        Misuse.close(this)
    }

    private fun check(what: String) {
        if (!Misuse.isOpen(this)) throw Misuse.fail("$what of a closed model")
    }

    companion object {
        /** Computes the logits from the input. */
        @Volatile
        @JvmField
        var model: Function<FloatArray, FloatArray> = Function { FloatArray(10) }

        /** Computes several outputs from the input; null for a classifier. */
        @Volatile
        @JvmField
        var maps: Function<FloatArray, List<FloatArray>>? = null

        /** Whether the file is none of a model, and whether there is too little memory for its buffers. */
        @Volatile
        @JvmField
        var damaged = false

        @Volatile
        @JvmField
        var noMemory = false

        /** The numbers of inputs and outputs of the model. */
        @Volatile
        @JvmField
        var inputs = 1

        @Volatile
        @JvmField
        var outputs = 1

        /** The input and the number of threads of the last inference, and how many inferences there were. */
        @Volatile
        @JvmField
        var input: FloatArray? = null

        @Volatile
        @JvmField
        var usedThreads: Int? = null

        @JvmField
        val RUNS = AtomicInteger()

        @JvmStatic
        fun reset() {
            model = Function { FloatArray(10) }
            damaged = false
            noMemory = false
            inputs = 1
            outputs = 1
            maps = null
            input = null
            usedThreads = null
            RUNS.set(0)
        }

        @JvmOverloads
        @JvmStatic
        fun create(
            filePath: String,
            options: Options = Options(Accelerator.CPU),
            optionalEnv: Environment? = null,
        ): CompiledModel {
            Threads.refuseMain("A model is loaded")
            if (damaged || !File(filePath).isFile) throw LiteRtException("Failed to load model from $filePath")
            if (options.accelerators != setOf(Accelerator.CPU)) {
                Misuse.report("A model runs on ${options.accelerators}, whose numbers differ from the goldens'")
            }
            val threads = options.cpuOptions?.numThreads
            if (threads != null && threads < 1) Misuse.report("A model is given $threads threads")
            check(optionalEnv == null) { "this library needs no environment" }
            return CompiledModel(threads).also { Misuse.open(it, "A model of LiteRT") }
        }
    }
}

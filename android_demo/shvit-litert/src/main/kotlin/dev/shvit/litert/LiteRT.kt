package dev.shvit.litert

import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.TensorBuffer
import dev.shvit.core.documents.Manifest
import dev.shvit.core.documents.Target
import dev.shvit.core.models.Engine
import dev.shvit.core.models.Session
import java.io.File

/**
 * LiteRT with XNNPACK, on the CPU. Each loaded model has threads of its own; if their number is left to LiteRT, it is 1.
 *
 * ```kotlin
 * val engines = Engines(ExecuTorch, LiteRT)
 * val classifier = ImageClassifier.named(context, "shvit_s1-224-litert-int8", engines = engines)
 * ```
 */
object LiteRT : Engine {
    override val target: Target get() = Target.LITERT
    override val name: String get() = "LiteRT"
    override val version: String get() = BuildConfig.LITERT
    override val logTag: String get() = "litert"

    /** Accepts every model: LiteRT itself rejects one with operators that it does not know. */
    override fun check(manifest: Manifest) = Unit

    override fun load(manifest: Manifest, file: File, threads: Int): Session {
        val options = CompiledModel.Options(Accelerator.CPU)
        if (threads > 0) options.cpuOptions = CompiledModel.CpuOptions(numThreads = threads)
        val opened = ArrayList<AutoCloseable>()
        return try {
            val model = CompiledModel.create(file.path, options).also(opened::add)
            val inputs = model.createInputBuffers().also(opened::addAll)
            val outputs = model.createOutputBuffers().also(opened::addAll)
            val expected = manifest.output.names.size
            check(inputs.size == 1 && outputs.size == expected) {
                "it has ${inputs.size} inputs and ${outputs.size} outputs, not 1 and $expected"
            }
            LiteRTSession(model, inputs, outputs, opened)
        } catch (reason: Throwable) {
            closeAll(opened)
            throw reason
        }
    }
}

/**
 * A loaded model.
 *
 * @param opened What has memory of the runtime: the model first, then its buffers.
 */
private class LiteRTSession(
    private val model: CompiledModel,
    private val inputs: List<TensorBuffer>,
    private val outputs: List<TensorBuffer>,
    private val opened: List<AutoCloseable>,
) : Session {
    override fun write(values: FloatArray) = inputs.single().writeFloat(values)

    override fun run() = model.run(inputs, outputs)

    // In the order of the signature, which is the manifest's.
    override fun read(): List<FloatArray> = outputs.map(TensorBuffer::readFloat)

    override fun close() = closeAll(opened)
}

/** Closes the newest first: a model has to outlive its buffers. */
private fun closeAll(opened: List<AutoCloseable>) = opened.asReversed().forEach(AutoCloseable::close)

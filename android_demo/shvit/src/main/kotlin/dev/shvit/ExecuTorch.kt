package dev.shvit

import dev.shvit.core.documents.Manifest
import dev.shvit.core.documents.Target
import dev.shvit.core.models.Engine
import dev.shvit.core.models.Session
import dev.shvit.core.models.SharedPool
import dev.shvit.core.models.checkExecuTorch
import java.io.File
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor

/** ExecuTorch with XNNPACK, on the CPU. */
object ExecuTorch : Engine {
    override val target: Target get() = Target.EXECUTORCH
    override val name: String get() = "ExecuTorch"
    override val version: String get() = BuildConfig.EXECUTORCH
    override val logTag: String get() = "ExecuTorch"

    /** One per process, like ExecuTorch's thread pool. */
    private val pool = SharedPool()

    private const val METHOD = "forward"

    override fun check(manifest: Manifest) = manifest.checkExecuTorch(version)

    override fun load(manifest: Manifest, file: File, threads: Int): Session {
        val place = pool.enter(threads)
        return try {
            ExecuTorchSession(manifest, loadModule(file, threads), place)
        } catch (reason: Throwable) {
            place.close()
            throw reason
        }
    }

    private fun loadModule(file: File, threads: Int): Module {
        val module = Module.load(file.path, Module.LOAD_MODE_MMAP, threads)
        try {
            val status = status(module.loadMethod(METHOD))
            check(status == 0) { "ExecuTorch's error $status" }
            return module
        } catch (reason: RuntimeException) {
            module.destroy()
            throw reason
        }
    }

    /** Older versions of ExecuTorch return an error number, or 0; newer ones return nothing and throw. */
    private fun status(returned: Any?): Int = returned as? Int ?: 0
}

/**
 * A loaded program.
 *
 * @param place Its place in the thread pool.
 */
private class ExecuTorchSession(
    manifest: Manifest,
    private val module: Module,
    private val place: AutoCloseable,
) : Session {
    /** The memory of the input tensor, which ExecuTorch reads in place. */
    private val buffer = Tensor.allocateFloatBuffer(manifest.input.shape.drop(1).fold(1, Int::times))
    private val input: EValue = EValue.from(Tensor.fromBlob(buffer, shape(manifest)))
    private var outputs: Array<EValue> = emptyArray()

    override fun write(values: FloatArray) {
        buffer.rewind()
        buffer.put(values)
        buffer.rewind()
    }

    override fun run() {
        outputs = module.forward(input)
    }

    override fun read(): List<FloatArray> = outputs.map { it.toTensor().dataAsFloatArray }

    override fun close() {
        module.destroy()
        place.close()
    }

    private companion object {
        const val BATCH = 0
        const val DYNAMIC = 0L

        fun shape(manifest: Manifest): LongArray {
            val shape = manifest.input.shape.map(Int::toLong).toLongArray()
            if (shape[BATCH] == DYNAMIC) shape[BATCH] = 1
            return shape
        }
    }
}

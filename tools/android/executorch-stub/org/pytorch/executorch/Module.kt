package org.pytorch.executorch

import java.io.Closeable

/** The part of ExecuTorch's newest Java API that apps need: signatures without code. */
open class Module private constructor() : Closeable {
    open fun forward(vararg inputs: EValue): Array<EValue> = TODO()

    open fun execute(methodName: String, vararg inputs: EValue): Array<EValue> = TODO()

    open fun loadMethod(methodName: String): Unit = TODO()

    open fun getMethods(): Array<String> = TODO()

    open fun getMethodMetadata(name: String): MethodMetadata = TODO()

    open fun readLogBuffer(): Array<String>? = TODO()

    open fun etdump(): Boolean = TODO()

    open fun etdump(outputPath: String): Boolean = TODO()

    open fun destroy(): Unit = TODO()

    override fun close(): Unit = TODO()

    companion object {
        const val LOAD_MODE_FILE = 0
        const val LOAD_MODE_MMAP = 1
        const val LOAD_MODE_MMAP_USE_MLOCK = 2
        const val LOAD_MODE_MMAP_USE_MLOCK_IGNORE_ERRORS = 3

        @JvmStatic
        @JvmOverloads
        fun load(modelPath: String?, loadMode: Int = LOAD_MODE_FILE, numThreads: Int = 0): Module = TODO()

        @JvmStatic
        fun readLogBufferStatic(): Array<String>? = TODO()
    }
}

class MethodMetadata internal constructor(val name: String, val backends: Array<String>)

open class ExecutorchRuntimeException(val errorCode: Int, details: String?) : RuntimeException(details) {
    fun getDetailedError(): String = TODO()
}

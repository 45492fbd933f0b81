package com.google.ai.edge.litert

enum class Accelerator private constructor(val value: Int) { NONE(0), CPU(1), GPU(2), NPU(3) }

/** What has memory of the runtime. */
abstract class JniHandle internal constructor(internal val handle: Long) : AutoCloseable {
    protected abstract fun destroy()

    final override fun close(): Unit = TODO()
}

class LiteRtException(val code: Int, message: String) : Exception(message)

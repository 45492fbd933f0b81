package com.google.ai.edge.litert

class Environment private constructor(handle: Long) : JniHandle(handle) {
    override fun destroy(): Unit = TODO()
}

package org.pytorch.executorch

import java.nio.ByteBuffer
import java.nio.FloatBuffer
import java.nio.IntBuffer
import java.nio.LongBuffer

abstract class Tensor internal constructor() {
    fun numel(): Long = TODO()

    fun shape(): LongArray = TODO()

    abstract fun dtype(): DType

    open val dataAsByteArray: ByteArray get() = TODO()

    open val dataAsUnsignedByteArray: ByteArray get() = TODO()

    open val dataAsIntArray: IntArray get() = TODO()

    open val dataAsFloatArray: FloatArray get() = TODO()

    open val dataAsLongArray: LongArray get() = TODO()

    open val dataAsDoubleArray: DoubleArray get() = TODO()

    open fun copyDataInto(dst: FloatBuffer): Unit = TODO()

    fun toByteArray(): ByteArray = TODO()

    companion object {
        @JvmStatic
        fun allocateByteBuffer(numElements: Int): ByteBuffer = TODO()

        @JvmStatic
        fun allocateFloatBuffer(numElements: Int): FloatBuffer = TODO()

        @JvmStatic
        fun fromBlob(data: FloatArray, shape: LongArray): Tensor = TODO()

        @JvmStatic
        fun fromBlob(data: IntArray, shape: LongArray): Tensor = TODO()

        @JvmStatic
        fun fromBlob(data: LongArray, shape: LongArray): Tensor = TODO()

        @JvmStatic
        fun fromBlob(data: FloatBuffer, shape: LongArray): Tensor = TODO()

        @JvmStatic
        fun fromBlob(data: IntBuffer, shape: LongArray): Tensor = TODO()

        @JvmStatic
        fun fromBlob(data: LongBuffer, shape: LongArray): Tensor = TODO()

        @JvmStatic
        fun fromBlobUnsigned(data: ByteArray, shape: LongArray): Tensor = TODO()

        @JvmStatic
        fun fromBlobUnsigned(data: ByteBuffer, shape: LongArray): Tensor = TODO()
    }
}

enum class DType { UINT8, INT8, INT16, INT32, INT64, HALF, FLOAT, DOUBLE, BOOL, BFLOAT16 }

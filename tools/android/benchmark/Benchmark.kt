package benchmark

import java.lang.management.ManagementFactory
import java.nio.ByteBuffer
import java.security.MessageDigest

/** A camera frame and how to prepare it, from the camera's buffers to the values of the input tensor. */
class Case(val name: String, val prepare: () -> FloatArray)

/** Samples of a smooth picture with noise, the same in every run. */
fun samples(size: Int): ByteBuffer {
    val random = java.util.Random(size.toLong())
    val bytes = ByteBuffer.allocateDirect(size)
    for (place in 0 until size) bytes.put(place, (128 + 90 * Math.sin(place / 97.0) + random.nextInt(30)).toInt().toByte())
    return bytes
}

/** The bytes of an opaque RGBA bitmap. */
fun rgba(width: Int, height: Int): ByteBuffer {
    val bytes = samples(4 * width * height)
    for (place in 3 until bytes.capacity() step 4) bytes.put(place, -1)
    return bytes
}

/** Prints, for each case, the median CPU time and the garbage of a frame, and the SHA-256 of its values. */
fun main(arguments: Array<String>) {
    val seconds = arguments[0].toDouble()
    val threads = ManagementFactory.getThreadMXBean() as com.sun.management.ThreadMXBean
    val thread = Thread.currentThread().id
    for (case in cases()) {
        val warm = System.nanoTime() + (seconds * 1e9).toLong()
        while (System.nanoTime() < warm) case.prepare()
        val times = DoubleArray(FRAMES)
        val before = threads.getThreadAllocatedBytes(thread)
        var values = FloatArray(0)
        for (frame in 0 until FRAMES) {
            val start = threads.currentThreadCpuTime
            values = case.prepare()
            times[frame] = (threads.currentThreadCpuTime - start) / 1e6
        }
        val garbage = (threads.getThreadAllocatedBytes(thread) - before) / FRAMES
        times.sort()
        println(listOf(case.name, times[FRAMES / 2], garbage, sha256(values)).joinToString("\t"))
    }
}

private fun sha256(values: FloatArray): String {
    val bytes = ByteBuffer.allocate(4 * values.size)
    values.forEach(bytes::putFloat)
    return MessageDigest.getInstance("SHA-256").digest(bytes.array()).joinToString("") { "%02x".format(it) }
}

private const val FRAMES = 60

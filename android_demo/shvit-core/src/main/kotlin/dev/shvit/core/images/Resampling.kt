package dev.shvit.core.images

import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.max
import kotlin.math.min
import kotlin.math.sin

/**
 * A pass of a resize, along rows or columns: each target pixel is a weighted sum of neighboring source pixels.
 *
 * @property firsts The first source pixel of each target pixel.
 * @property weights The weights from that pixel on, for each target pixel, in units of 1 / 2^22.
 */
internal class Pass(val firsts: IntArray, val weights: Array<IntArray>) {
    /** The source pixels that the pass reads, from first to last. */
    val reads: IntRange = firsts.first() until end(firsts.size - 1)

    /** The number of source pixels that the pass reads. */
    val span: Int = reads.last + 1 - reads.first

    /** The largest number of weights. */
    val most: Int = weights.maxOf { it.size }

    /** Returns the source pixel after the last that a target pixel needs. */
    fun end(target: Int): Int = firsts[target] + weights[target].size
}

/** The fraction bits of a weight: 32 minus eight for the pixel and two for overshoot, as in Pillow. */
internal const val PRECISION_BITS = 32 - 8 - 2

/**
 * Removes the fraction bits of some numbers and limits them to 0 to 255. It has no branches, so that virtual machines turn it
 * into vector instructions.
 */
internal fun clamp(values: IntArray, first: Int, count: Int, fractionBits: Int) {
    for (place in first until first + count) {
        val value = values[place] shr fractionBits
        val notNegative = value and (value shr 31).inv()
        values[place] = (notNegative or (255 - value shr 31)) and 255
    }
}

/**
 * Returns the pass that resizes [source] pixels to [target] and computes only those in [kept].
 *
 * The arithmetic is bit-exact with Pillow's `Resample.c` and, for nearest, `Geometry.c`.
 */
internal fun pass(filter: Interpolation, source: Int, target: Int, kept: IntRange): Pass = when (filter) {
    Interpolation.NEAREST -> pickNearest(source, target, kept)
    Interpolation.BILINEAR -> weighted(1.0, ::triangle, source, target, kept)
    Interpolation.BICUBIC -> weighted(2.0, ::cubic, source, target, kept)
    Interpolation.LANCZOS -> weighted(3.0, ::lanczos, source, target, kept)
}

/** Accumulates the position step by step as Pillow does, whose rounding errors decide between two neighbors. */
private fun pickNearest(source: Int, target: Int, kept: IntRange): Pass {
    val step = source.toDouble() / target
    var place = step * 0.5
    val all = IntArray(target) { place.toInt().also { place += step } }
    return Pass(all.sliceArray(kept), Array(kept.count()) { intArrayOf(1 shl PRECISION_BITS) })
}

private fun weighted(support: Double, filter: (Double) -> Double, source: Int, target: Int, kept: IntRange): Pass {
    val scale = source.toDouble() / target
    // A filter is widened when it shrinks a picture, so that every source pixel counts.
    val widening = max(scale, 1.0)
    val reach = support * widening
    val firsts = IntArray(kept.count())
    val weights = Array(kept.count()) { index ->
        val centre = (kept.first + index + 0.5) * scale
        val first = max((centre - reach + 0.5).toInt(), 0)
        val end = min((centre + reach + 0.5).toInt(), source)
        firsts[index] = first
        val shares = DoubleArray(end - first) { filter((it + first - centre + 0.5) * (1.0 / widening)) }
        fixedPoint(shares)
    }
    return Pass(firsts, weights)
}

/**
 * Returns weights that sum to one, in units of 1
 * 2^22, each rounded half away from zero.
 */
private fun fixedPoint(shares: DoubleArray): IntArray {
    var sum = 0.0
    for (share in shares) sum += share
    return IntArray(shares.size) { index ->
        val share = if (sum != 0.0) shares[index] / sum else shares[index]
        val scaled = share * (1 shl PRECISION_BITS)
        (if (share < 0) scaled - 0.5 else scaled + 0.5).toInt()
    }
}

private fun triangle(x: Double): Double = max(1.0 - abs(x), 0.0)

/** The Keys cubic with a = -1/2. */
private fun cubic(x: Double): Double {
    val a = -0.5
    val distance = abs(x)
    return when {
        distance < 1.0 -> ((a + 2.0) * distance - (a + 3.0)) * distance * distance + 1
        distance < 2.0 -> (((distance - 5) * distance + 8) * distance - 4) * a
        else -> 0.0
    }
}

private fun lanczos(x: Double): Double = if (x >= -3.0 && x < 3.0) sinc(x) * sinc(x / 3) else 0.0

private fun sinc(x: Double): Double = if (x == 0.0) 1.0 else sin(x * PI) / (x * PI)

package dev.shvit.core.images

/** Turns pictures and camera frames into a model's [Pixels]. Thread-safe; its buffers are used again. */
class Preprocessor(val preprocessing: Preprocessing) {
    private val squashes = preprocessing.resizeMode == ResizeMode.SQUASH
    private val stride = preprocessing.width * Pixels.CHANNELS

    private var plan: Plan? = null
    private var block = IntArray(0)
    private var sums = IntArray(0)
    private var narrowed = IntArray(0)

    /**
     * Returns the pixels that the model sees, bit-exact with the exporter, which resizes with Pillow.
     *
     * Resizes along the rows, rounds to eight bits, then along the columns. Does not read or compute what the crop
     * removes. Some pictures are first cut to their middle: with [ResizeMode.COVER], if the resized side would exceed
     * 64 times the needed length; with [ResizeMode.SQUASH], if a side is longer than 256 times its resized side.
     *
     * @param orientation What makes the source upright.
     */
    fun prepare(source: PixelSource, orientation: Orientation): Pixels {
        val pixels = Pixels(preprocessing.height, preprocessing.width, ByteArray(preprocessing.height * stride))
        prepare(source, orientation, pixels)
        return pixels
    }

    /** Returns the pixels of an upright picture. */
    fun pixels(source: PixelSource): Pixels = prepare(source, Orientation.UPRIGHT)

    /**
     * Writes the pixels without creating objects, if the last source had the same size.
     *
     * @param into The target, of the model's size.
     */
    @Synchronized
    fun prepare(source: PixelSource, orientation: Orientation, into: Pixels) {
        require(into.height == preprocessing.height && into.width == preprocessing.width) { "the target's size differs" }
        val plan = plan(source, orientation)
        val reads = plan.rows.reads
        // Rows of the upright picture are narrowed in blocks, so that a block stays in the processor's cache.
        val lines = (BLOCK / (Pixels.CHANNELS * plan.columns.span)).coerceIn(LEAST_LINES, MOST_LINES)
        val most = lines + plan.rows.most
        block = atLeast(block, plan.columns.span * lines * Pixels.CHANNELS)
        narrowed = atLeast(narrowed, most * stride)
        sums = atLeast(sums, maxOf(lines * Pixels.CHANNELS, stride))
        var kept = reads.first
        var done = 0
        for (first in reads step lines) {
            val count = minOf(lines, reads.last + 1 - first)
            read(source, orientation, plan, first, count)
            narrow(plan.columns, count, (first - kept) * stride)
            while (done < preprocessing.height && plan.rows.end(done) <= first + count) {
                lower(plan.rows, done, kept, into.bytes)
                done++
            }
            if (done == preprocessing.height) return
            // Later rows of pixels still need the last narrowed rows.
            val needed = minOf(maxOf(plan.rows.firsts[done], kept), first + count)
            System.arraycopy(narrowed, (needed - kept) * stride, narrowed, 0, (first + count - needed) * stride)
            kept = needed
        }
    }

    /**
     * Returns the (height, width) to which a picture is resized before the crop, in pixels.
     *
     * The tighter side becomes exactly size / crop ratio, rounded down. The other side keeps the aspect ratio, or with
     * [ResizeMode.SQUASH] is computed like the first.
     */
    internal fun resizedSize(height: Int, width: Int): Pair<Int, Int> {
        val (coverHeight, coverWidth) = cover()
        return when {
            squashes -> coverHeight.toInt() to coverWidth.toInt()
            coverHeight * width >= coverWidth * height ->
                coverHeight.toInt() to (coverHeight * width / height).toInt()
            else -> (coverWidth * height / width).toInt() to coverWidth.toInt()
        }
    }

    /** Returns the (height, width) that the resized picture must cover, in pixels. */
    private fun cover(): Pair<Long, Long> {
        val ratio = preprocessing.cropRatio
        return (preprocessing.height / ratio).toLong() to (preprocessing.width / ratio).toLong()
    }

    /** Returns the middle [kept] of [length]; halves round to even, as in Python. */
    private fun crop(length: Int, kept: Int): IntRange {
        val first = Math.rint((length - kept) / 2.0).toInt()
        return first until first + kept
    }

    /** What depends only on the size of the upright picture: the part that is resized, and the two passes. */
    private class Plan(
        val height: Int,
        val width: Int,
        val top: Int,
        val left: Int,
        val rows: Pass,
        val columns: Pass,
    )

    /** Returns the plan for a source; usually that of the last one. */
    private fun plan(source: PixelSource, orientation: Orientation): Plan {
        val height = if (orientation.sideways) source.width else source.height
        val width = if (orientation.sideways) source.height else source.width
        plan?.let { if (it.height == height && it.width == width) return it }
        val (coverHeight, coverWidth) = cover()
        // Usually all of the picture.
        val (mostHeight, mostWidth) = if (squashes) {
            MOST_SHRINKING * coverHeight to MOST_SHRINKING * coverWidth
        } else {
            ceilDiv(LONGEST * coverHeight * width, coverWidth) to ceilDiv(LONGEST * coverWidth * height, coverHeight)
        }
        val (partHeight, partWidth) = shorten(height, mostHeight) to shorten(width, mostWidth)
        val (resizedHeight, resizedWidth) = resizedSize(partHeight, partWidth)
        val filter = preprocessing.interpolation
        val made = Plan(
            height,
            width,
            (height - partHeight) / 2,
            (width - partWidth) / 2,
            pass(filter, partHeight, resizedHeight, crop(resizedHeight, preprocessing.height)),
            pass(filter, partWidth, resizedWidth, crop(resizedWidth, preprocessing.width)),
        )
        plan = made
        return made
    }

    /**
     * Reads rows of the upright picture into [block], in the order columns, channels, rows: the rows lie side by side,
     * so that each step of the first pass is one loop over all of them.
     */
    private fun read(source: PixelSource, orientation: Orientation, plan: Plan, first: Int, count: Int) {
        val width = plan.columns.span
        val column = count * Pixels.CHANNELS
        val plane = if (preprocessing.channelOrder == ChannelOrder.RGB) count else -count
        val red = if (plane > 0) 0 else 2 * count
        val top = plan.top + first
        val left = plan.left + plan.columns.reads.first
        if (orientation.sideways) {
            val begin = if (orientation.columnsReversed) source.width - top - count else top
            val at = if (orientation.columnsReversed) count - 1 else 0
            val step = if (orientation.columnsReversed) -1 else 1
            for (index in 0 until width) {
                val row = if (orientation.rowsReversed) source.height - 1 - (left + index) else left + index
                source.read(row, begin, count, block, index * column + red + at, step, plane)
            }
        } else {
            val begin = if (orientation.columnsReversed) source.width - left - width else left
            val at = if (orientation.columnsReversed) (width - 1) * column else 0
            val step = if (orientation.columnsReversed) -column else column
            for (index in 0 until count) {
                val row = if (orientation.rowsReversed) source.height - 1 - (top + index) else top + index
                source.read(row, begin, width, block, at + red + index, step, plane)
            }
        }
    }

    /** The first pass: narrows the rows in [block] and puts them into [narrowed], in the order rows, columns. */
    private fun narrow(pass: Pass, count: Int, at: Int) {
        val length = count * Pixels.CHANNELS
        val sums = sums
        val narrowed = narrowed
        for (target in 0 until preprocessing.width) {
            add(block, (pass.firsts[target] - pass.reads.first) * length, length, pass.weights[target])
            for (channel in 0 until Pixels.CHANNELS) {
                var place = at + target * Pixels.CHANNELS + channel
                for (index in channel * count until (channel + 1) * count) {
                    narrowed[place] = clamp(sums[index])
                    place += stride
                }
            }
        }
    }

    /** The second pass, for one row of pixels: adds up whole narrowed rows, of which the first is number [kept]. */
    private fun lower(pass: Pass, row: Int, kept: Int, into: ByteArray) {
        add(narrowed, (pass.firsts[row] - kept) * stride, stride, pass.weights[row])
        val sums = sums
        val begin = row * stride
        for (index in 0 until stride) into[begin + index] = clamp(sums[index]).toByte()
    }

    /** Sets the first [length] sums to a weighted sum of stretches of [source] that begin at [from], each that long. */
    private fun add(source: IntArray, from: Int, length: Int, weights: IntArray) {
        val sums = sums
        val fours = weights.size / LANES * LANES
        if (fours == 0) java.util.Arrays.fill(sums, 0, length, HALF)
        for (k in 0 until fours step LANES) addFour(sums, source, from + k * length, length, weights, k)
        for (k in fours until weights.size) addOne(sums, source, from + k * length, length, weights[k])
    }

    // These loops are of a form that virtual machines turn into vector instructions. The first four begin the sums.
    private fun addFour(sums: IntArray, source: IntArray, from: Int, length: Int, weights: IntArray, k: Int) {
        val first = weights[k]
        val second = weights[k + 1]
        val third = weights[k + 2]
        val fourth = weights[k + 3]
        val two = from + length
        val three = two + length
        val four = three + length
        if (k == 0) {
            for (i in 0 until length) {
                sums[i] = HALF + source[from + i] * first + source[two + i] * second +
                    source[three + i] * third + source[four + i] * fourth
            }
        } else {
            for (i in 0 until length) {
                sums[i] += source[from + i] * first + source[two + i] * second +
                    source[three + i] * third + source[four + i] * fourth
            }
        }
    }

    private fun addOne(sums: IntArray, source: IntArray, from: Int, length: Int, weight: Int) {
        for (i in 0 until length) sums[i] += source[from + i] * weight
    }

    private fun clamp(sum: Int): Int = Math.min(Math.max(sum shr PRECISION_BITS, 0), 255)

    private companion object {
        /** Beyond this many times what the crop needs, covering with the whole picture would take gigabytes. */
        const val LONGEST = 64L

        /** Squashing a side that is longer than this many times its resized side would take gigabytes. */
        const val MOST_SHRINKING = 256L

        /** The numbers in a block, and the limits of its rows. */
        const val BLOCK = 1 shl 16
        const val LEAST_LINES = 8
        const val MOST_LINES = 64

        /** Half a pixel value, for rounding. */
        const val HALF = 1 shl PRECISION_BITS - 1

        /** The weights that one loop applies. */
        const val LANES = 4

        fun ceilDiv(value: Long, divisor: Long): Long = (value + divisor - 1) / divisor

        /** Returns at most [most] of [length], plus one if both margins are equal only then. */
        fun shorten(length: Int, most: Long): Int =
            if (length <= most) length else (most + (length - most) % 2).toInt()

        fun atLeast(array: IntArray, size: Int): IntArray = if (array.size < size) IntArray(size) else array
    }
}

package dev.shvit.core.images

/** A part of a picture: its upper left corner and its size, in pixels. */
data class Region(val top: Double, val left: Double, val height: Double, val width: Double)

/** Turns pictures and camera frames into a model's [Pixels]. Thread-safe; its buffers are used again. */
class Preprocessor(val preprocessing: Preprocessing) {
    private val stride = preprocessing.width * Pixels.CHANNELS

    private var plan: Plan? = null
    private val sums = IntArray(maxOf(LINES * Pixels.CHANNELS, stride))
    private var tile = IntArray(0)
    private var columns = emptyArray<IntArray>()
    private var narrowed = emptyArray<IntArray>()
    private val block = Array(LINES) { IntArray(0) }

    /**
     * Returns the pixels that the model sees, bit-exact with the exporter, which resizes with Pillow.
     *
     * Resizes along the rows, rounds to eight bits, then along the columns. Does not read or compute what the crop
     * removes. Some pictures are first cut to their middle: with [ResizeMode.COVER], if the resized side would exceed
     * 64 times the needed length; with [ResizeMode.SQUASH] and [ResizeMode.LETTERBOX], if a side is longer than 256 times
     * that of the input.
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
        pad(into.bytes)
        val (reads, span) = plan.rows.reads to plan.columns.span
        if (tile.size < TILE * Pixels.CHANNELS * span) tile = IntArray(TILE * Pixels.CHANNELS * span)
        if (columns.size < span) columns = Array(span) { IntArray(LINES * Pixels.CHANNELS) }
        if (narrowed.size < LINES + plan.rows.most) narrowed = Array(LINES + plan.rows.most) { IntArray(stride) }
        var done = 0
        // Rows of the upright picture are narrowed in blocks, so that a block stays in the processor's cache.
        for (first in reads step LINES) {
            val count = minOf(LINES, reads.last + 1 - first)
            if (orientation.sideways) {
                readSideways(source, orientation, plan, first, count)
            } else {
                for (index in 0 until count step TILE) {
                    readUpright(source, orientation, plan, first, index, minOf(TILE, count - index))
                }
            }
            narrow(plan.columns, count, first)
            while (done < plan.rows.firsts.size && plan.rows.end(done) <= first + count) {
                lower(plan, done, into.bytes)
                done++
            }
        }
    }

    /** Fills the input of a letterbox with its padding. */
    private fun pad(bytes: ByteArray) {
        val value = preprocessing.paddingValue ?: return
        for (place in bytes.indices) bytes[place] = value[place % Pixels.CHANNELS].toByte()
    }

    /**
     * Returns the (height, width) to which a picture is resized before the crop, in pixels.
     *
     * The tighter side becomes exactly size / crop ratio, rounded down. The other side keeps the aspect ratio, or with
     * [ResizeMode.SQUASH] is computed like the first. In a letterbox, the side that fits last becomes that of the input, and
     * the other keeps the aspect ratio, rounded half up, and at least 1.
     */
    internal fun resizedSize(height: Int, width: Int): Pair<Int, Int> {
        val (coverHeight, coverWidth) = cover()
        return when {
            preprocessing.resizeMode == ResizeMode.SQUASH -> coverHeight.toInt() to coverWidth.toInt()
            preprocessing.resizeMode == ResizeMode.LETTERBOX && coverHeight * width <= coverWidth * height ->
                coverHeight.toInt() to divideRounded(coverHeight * width, height)
            preprocessing.resizeMode == ResizeMode.LETTERBOX ->
                divideRounded(coverWidth * height, width) to coverWidth.toInt()
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

    /**
     * Returns the part of an upright picture that becomes the model's input; filters also read a few pixels around it. The
     * padding of a letterbox lies outside of the picture.
     */
    fun crop(height: Int, width: Int): Region {
        val (partHeight, partWidth) = middle(height, width)
        val (resizedHeight, resizedWidth) = resizedSize(partHeight, partWidth)
        val (yScale, xScale) = partHeight.toDouble() / resizedHeight to partWidth.toDouble() / resizedWidth
        return Region(
            (height - partHeight) / 2 + origin(resizedHeight, preprocessing.height) * yScale,
            (width - partWidth) / 2 + origin(resizedWidth, preprocessing.width) * xScale,
            preprocessing.height * yScale,
            preprocessing.width * xScale,
        )
    }

    /** Returns the part of the model's input that shows an upright picture, in pixels; the rest is padding. */
    internal fun shown(height: Int, width: Int): Region {
        val (partHeight, partWidth) = middle(height, width)
        val (resizedHeight, resizedWidth) = resizedSize(partHeight, partWidth)
        val (rows, columns) = kept(resizedHeight, preprocessing.height) to kept(resizedWidth, preprocessing.width)
        return Region(
            before(resizedHeight, preprocessing.height).toDouble(),
            before(resizedWidth, preprocessing.width).toDouble(),
            (rows.last + 1 - rows.first).toDouble(),
            (columns.last + 1 - columns.first).toDouble(),
        )
    }

    /** Returns the (height, width) of the middle of a picture that is resized; usually it is all of the picture. */
    private fun middle(height: Int, width: Int): Pair<Int, Int> {
        val (coverHeight, coverWidth) = cover()
        val (mostHeight, mostWidth) = if (preprocessing.resizeMode != ResizeMode.COVER) {
            MOST_SHRINKING * coverHeight to MOST_SHRINKING * coverWidth
        } else {
            ceilDiv(LONGEST * coverHeight * width, coverWidth) to ceilDiv(LONGEST * coverWidth * height, coverHeight)
        }
        return shorten(height, mostHeight) to shorten(width, mostWidth)
    }

    /**
     * Returns where an input's [side] begins in a side of the resized picture: below 0 by the padding there. Halves round to
     * even, as in Python; those of a letterbox leave the odd pixel at the end.
     */
    private fun origin(resized: Int, side: Int): Int = when (preprocessing.padding) {
        null -> Math.rint((resized - side) / 2.0).toInt()
        Padding.CENTER -> -((side - resized) / 2)
        Padding.END -> 0
    }

    /** Returns the padding before a side of the resized picture. */
    private fun before(resized: Int, side: Int): Int = maxOf(-origin(resized, side), 0)

    /** Returns what a side of the input shows of the resized picture. */
    private fun kept(resized: Int, side: Int): IntRange {
        val first = origin(resized, side)
        return maxOf(first, 0) until minOf(first + side, resized)
    }

    /**
     * What depends only on the size of the upright picture: the part that is resized, the padding before it, and the two
     * passes.
     */
    private class Plan(
        val height: Int,
        val width: Int,
        val top: Int,
        val left: Int,
        val rowsBefore: Int,
        val columnsBefore: Int,
        val rows: Pass,
        val columns: Pass,
    )

    /** Returns the plan for a source; usually that of the last one. */
    private fun plan(source: PixelSource, orientation: Orientation): Plan {
        val (height, width) = orientation.uprightSize(source)
        plan?.let { if (it.height == height && it.width == width) return it }
        val (partHeight, partWidth) = middle(height, width)
        val (resizedHeight, resizedWidth) = resizedSize(partHeight, partWidth)
        val filter = preprocessing.interpolation
        val made = Plan(
            height,
            width,
            (height - partHeight) / 2,
            (width - partWidth) / 2,
            before(resizedHeight, preprocessing.height),
            before(resizedWidth, preprocessing.width),
            pass(filter, partHeight, resizedHeight, kept(resizedHeight, preprocessing.height)),
            pass(filter, partWidth, resizedWidth, kept(resizedWidth, preprocessing.width)),
        )
        plan = made
        return made
    }

    /**
     * Reads rows of the upright picture, which are columns in memory, into [columns]: each has [LINES] rows of one channel
     * after the other, so that a step of the first pass is one loop over all rows and channels.
     */
    private fun readSideways(source: PixelSource, orientation: Orientation, plan: Plan, first: Int, count: Int) {
        val top = plan.top + first
        val left = plan.left + plan.columns.reads.first
        val begin = if (orientation.columnsReversed) source.width - top - count else top
        for (index in 0 until plan.columns.span) {
            val row = if (orientation.rowsReversed) source.height - 1 - (left + index) else left + index
            readRow(source, orientation, row, begin, count, columns[index], 0, LINES)
        }
    }

    /** Reads [tiled] rows of a block, which are rows in memory, into [columns], where the first is number [index]. */
    private fun readUpright(source: PixelSource, orientation: Orientation, plan: Plan, first: Int, index: Int, tiled: Int) {
        val top = plan.top + first + index
        val left = plan.left + plan.columns.reads.first
        val span = plan.columns.span
        val begin = if (orientation.columnsReversed) source.width - left - span else left
        val length = Pixels.CHANNELS * span
        for (line in 0 until tiled) {
            val row = if (orientation.rowsReversed) source.height - 1 - (top + line) else top + line
            readRow(source, orientation, row, begin, span, tile, line * length, span)
        }
        // Always all rows of the tile: the block has room for them, and nobody reads those after its last.
        val tile = tile
        for (place in 0 until span) {
            val column = columns[place]
            for (channel in 0 until Pixels.CHANNELS) {
                val from = channel * span + place
                val to = channel * LINES + index
                column[to] = tile[from]
                column[to + 1] = tile[from + length]
                column[to + 2] = tile[from + 2 * length]
                column[to + 3] = tile[from + 3 * length]
            }
        }
    }

    /** Reads a part of a row in memory, in the model's order of channels, which are [pitch] numbers apart. */
    private fun readRow(
        source: PixelSource,
        orientation: Orientation,
        row: Int,
        begin: Int,
        count: Int,
        into: IntArray,
        at: Int,
        pitch: Int,
    ) {
        val plane = if (preprocessing.channelOrder == ChannelOrder.RGB) pitch else -pitch
        val red = if (plane > 0) at else at + 2 * pitch
        if (orientation.columnsReversed) {
            source.read(row, begin, count, into, red + count - 1, -1, plane)
        } else {
            source.read(row, begin, count, into, red, 1, plane)
        }
    }

    /** The first pass: narrows a block's rows, the first of which is number [first], and puts them into [narrowed]. */
    private fun narrow(pass: Pass, count: Int, first: Int) {
        for (index in 0 until count) block[index] = narrowed[(first + index) % narrowed.size]
        val block = block
        val sums = sums
        for (target in pass.firsts.indices) {
            add(columns, pass.firsts[target] - pass.reads.first, LINES * Pixels.CHANNELS, pass.weights[target])
            clamp(sums, 0, LINES * Pixels.CHANNELS, PRECISION_BITS)
            val place = target * Pixels.CHANNELS
            for (index in 0 until count) {
                val row = block[index]
                row[place] = sums[index]
                row[place + 1] = sums[LINES + index]
                row[place + 2] = sums[2 * LINES + index]
            }
        }
    }

    /** The second pass, for one row of pixels: adds up whole narrowed rows. */
    private fun lower(plan: Plan, row: Int, into: ByteArray) {
        val sums = sums
        val pass = plan.rows
        val length = plan.columns.firsts.size * Pixels.CHANNELS
        add(narrowed, pass.firsts[row] % narrowed.size, length, pass.weights[row])
        clamp(sums, 0, length, PRECISION_BITS)
        val begin = (plan.rowsBefore + row) * stride + plan.columnsBefore * Pixels.CHANNELS
        for (index in 0 until length) into[begin + index] = sums[index].toByte()
    }

    /** Sets the first [length] sums to a weighted sum of [sources] from number [from] on; the first follows the last. */
    private fun add(sources: Array<IntArray>, from: Int, length: Int, weights: IntArray) {
        java.util.Arrays.fill(sums, 0, length, HALF)
        val size = sources.size
        var k = 0
        while (k + LANES <= weights.size) {
            addFour(
                sums,
                length,
                sources[(from + k) % size],
                sources[(from + k + 1) % size],
                sources[(from + k + 2) % size],
                sources[(from + k + 3) % size],
                weights,
                k,
            )
            k += LANES
        }
        while (k < weights.size) {
            addOne(sums, length, sources[(from + k) % size], weights[k])
            k++
        }
    }

    // Virtual machines turn the following loops into vector instructions, because each array has the same index.
    private fun addFour(
        sums: IntArray,
        length: Int,
        one: IntArray,
        two: IntArray,
        three: IntArray,
        four: IntArray,
        weights: IntArray,
        k: Int,
    ) {
        val first = weights[k]
        val second = weights[k + 1]
        val third = weights[k + 2]
        val fourth = weights[k + 3]
        for (i in 0 until length) {
            sums[i] += one[i] * first + two[i] * second + three[i] * third + four[i] * fourth
        }
    }

    private fun addOne(sums: IntArray, length: Int, source: IntArray, weight: Int) {
        for (i in 0 until length) sums[i] += source[i] * weight
    }

    private companion object {
        /** Beyond this many times what the crop needs, covering with the whole picture would take gigabytes. */
        const val LONGEST = 64L

        /** Squashing a side that is longer than this many times its resized side would take gigabytes. */
        const val MOST_SHRINKING = 256L

        /** The rows in a block, and those that are read at a time. */
        const val LINES = 64
        const val TILE = 4

        /** Half a pixel value, for rounding. */
        const val HALF = 1 shl PRECISION_BITS - 1

        /** The weights that one loop applies. */
        const val LANES = 4

        /** Returns a quotient rounded half up, and at least 1. */
        fun divideRounded(value: Long, divisor: Int): Int = maxOf(1, ((2 * value + divisor) / (2L * divisor)).toInt())

        fun ceilDiv(value: Long, divisor: Long): Long = (value + divisor - 1) / divisor

        /** Returns at most [most] of [length], plus one if both margins are equal only then. */
        fun shorten(length: Int, most: Long): Int =
            if (length <= most) length else (most + (length - most) % 2).toInt()

    }
}

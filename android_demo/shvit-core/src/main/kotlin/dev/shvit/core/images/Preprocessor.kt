package dev.shvit.core.images

/** Turns pictures into a model's [Pixels]. Thread-safe. */
class Preprocessor(val preprocessing: Preprocessing) {
    private val squashes = preprocessing.resizeMode == ResizeMode.SQUASH

    /**
     * Returns the pixels that the model sees, bit-exact with the exporter, which resizes with Pillow.
     *
     * Resizes along the rows, rounds to eight bits, then along the columns. Does not compute what the crop removes.
     * Some pictures are first cut to their middle: with [ResizeMode.COVER], if the resized side would exceed 64 times
     * the needed length; with [ResizeMode.SQUASH], if a side is longer than 256 times its resized side.
     */
    fun pixels(picture: Picture): Pixels {
        val part = middle(picture)
        val (resizedHeight, resizedWidth) = resizedSize(part.height, part.width)
        val filter = preprocessing.interpolation
        val rows = pass(filter, part.height, resizedHeight, crop(resizedHeight, preprocessing.height))
        val columns = pass(filter, part.width, resizedWidth, crop(resizedWidth, preprocessing.width))
        val narrowed = alongRows(part, rows.reads, columns)
        return Pixels(preprocessing.height, preprocessing.width, alongColumns(narrowed, rows))
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

    /** Returns the part of a picture that is not too long, usually all of it. */
    private fun middle(picture: Picture): Part {
        val (coverHeight, coverWidth) = cover()
        val (mostHeight, mostWidth) = if (squashes) {
            MOST_SHRINKING * coverHeight to MOST_SHRINKING * coverWidth
        } else {
            ceilDiv(LONGEST * coverHeight * picture.width, coverWidth) to
                ceilDiv(LONGEST * coverWidth * picture.height, coverHeight)
        }
        val height = shorten(picture.height, mostHeight)
        val width = shorten(picture.width, mostWidth)
        return Part(picture, (picture.height - height) / 2, (picture.width - width) / 2, height, width)
    }

    private class Part(val picture: Picture, val top: Int, val left: Int, val height: Int, val width: Int)

    /** Rows of a picture after horizontal resizing; bytes in the order rows, columns, channels. */
    private class Narrowed(val firstRow: Int, val bytes: ByteArray)

    private fun alongRows(part: Part, rows: IntRange, pass: Pass): Narrowed {
        val bytes = ByteArray(rows.count() * preprocessing.width * Pixels.CHANNELS)
        val shifts = if (preprocessing.channelOrder == ChannelOrder.RGB) intArrayOf(16, 8, 0) else intArrayOf(0, 8, 16)
        for ((index, row) in rows.withIndex()) {
            val source = (part.top + row) * part.picture.width + part.left
            val target = index * preprocessing.width * Pixels.CHANNELS
            for (channel in 0 until Pixels.CHANNELS) {
                val shift = shifts[channel]
                for (column in 0 until preprocessing.width) {
                    bytes[target + column * Pixels.CHANNELS + channel] =
                        pass.value(column) { part.picture.pixels[source + it] ushr shift and 0xFF }
                }
            }
        }
        return Narrowed(rows.first, bytes)
    }

    private fun alongColumns(narrowed: Narrowed, pass: Pass): ByteArray {
        val stride = preprocessing.width * Pixels.CHANNELS
        val bytes = ByteArray(preprocessing.height * stride)
        for (row in 0 until preprocessing.height) {
            for (place in 0 until stride) {
                bytes[row * stride + place] =
                    pass.value(row) { narrowed.bytes[(it - narrowed.firstRow) * stride + place].toInt() and 0xFF }
            }
        }
        return bytes
    }

    private inline fun Pass.value(target: Int, source: (Int) -> Int): Byte = when (this) {
        is Pass.Picked -> source(sources[target]).toByte()
        is Pass.Weighted -> {
            val first = firsts[target]
            val shares = weights[target]
            var sum = 1 shl (PRECISION_BITS - 1)
            for (index in shares.indices) sum += source(first + index) * shares[index]
            (sum shr PRECISION_BITS).coerceIn(0, 255).toByte()
        }
    }

    private companion object {
        /** Beyond this many times what the crop needs, covering with the whole picture would take gigabytes. */
        const val LONGEST = 64L

        /** Squashing a side that is longer than this many times its resized side would take gigabytes. */
        const val MOST_SHRINKING = 256L

        fun ceilDiv(value: Long, divisor: Long): Long = (value + divisor - 1) / divisor

        /** Returns at most [most] of [length], plus one if both margins are equal only then. */
        fun shorten(length: Int, most: Long): Int =
            if (length <= most) length else (most + (length - most) % 2).toInt()
    }
}

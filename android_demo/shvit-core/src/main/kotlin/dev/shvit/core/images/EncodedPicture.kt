package dev.shvit.core.images

import dev.shvit.core.ShvitException.UndecodablePicture
import dev.shvit.core.ShvitException.UnsupportedInput

/**
 * How an encoded picture is decoded, so that its pixels are those of Python and iOS: the stored values, to which no color
 * profile is applied, and at the scale of [chooseReduction].
 *
 * @property reduction What the decoder divides each side by: a power of two.
 * @property width The width of the decoded picture in memory, of which a decoder may give a column more; [height] likewise.
 */
class DecodingPlan internal constructor(
    private val encoded: ByteArray,
    private val profile: List<IntRange>,
    private val format: EncodedFormat,
    val reduction: Int,
    val width: Int,
    val height: Int,
) {
    /**
     * Returns the bytes to decode: those of the file without its color profile. A decoder that knows of none converts
     * nothing; Android converts the colors of profiles that none of its color spaces can represent.
     */
    fun bytes(): ByteArray = if (profile.isEmpty()) encoded else format.without(encoded, profile)

    /**
     * Checks the size that a decoder gave, which may be one pixel longer where a side cannot be divided evenly.
     *
     * @throws UndecodablePicture If the decoder used another scale.
     */
    fun check(decodedWidth: Int, decodedHeight: Int) {
        if (decodedWidth - width !in 0..1 || decodedHeight - height !in 0..1) {
            throw UndecodablePicture(
                "The decoder returned $decodedWidth x $decodedHeight pixels instead of $width x $height.",
                "It does not decode this picture at 1/$reduction of its size.",
            )
        }
    }

    companion object {
        /**
         * Plans the decoding of a picture.
         *
         * @param encoded The bytes of the file.
         * @param width The width that the file states, in pixels; [height] likewise.
         * @param orientation What makes the stored picture upright.
         * @param reducedFor The preprocessing of the model, if a JPEG may be decoded at reduced scale.
         * @throws UndecodablePicture If the size is invalid.
         * @throws UnsupportedInput If it is a JPEG in CMYK, or would have to be divided by more than 8.
         */
        fun of(
            encoded: ByteArray,
            width: Int,
            height: Int,
            orientation: Orientation = Orientation.UPRIGHT,
            reducedFor: Preprocessing? = null,
        ): DecodingPlan {
            if (width < 1 || height < 1) {
                throw UndecodablePicture("These ${encoded.size} bytes cannot be decoded.", "JPEG and PNG always work.")
            }
            val format = EncodedFormat.of(encoded)
            if (format == EncodedFormat.JPEG && Jpeg.colors(encoded) == CMYK) {
                throw UnsupportedInput(
                    "The picture has four colors, CMYK.",
                    "Each phone turns them into other colors.",
                    "Convert it to RGB.",
                )
            }
            val sideways = orientation.sideways
            val reduction = chooseReduction(
                if (sideways) width else height,
                if (sideways) height else width,
                reducedFor.takeIf { format == EncodedFormat.JPEG },
            )
            if (reduction > MOST_REDUCTION) {
                throw UnsupportedInput("The picture has $width x $height pixels.", "A phone's memory is limited.")
            }
            return DecodingPlan(
                encoded,
                format.profile(encoded),
                format,
                reduction,
                divideSide(width, reduction),
                divideSide(height, reduction),
            )
        }

        private const val CMYK = 4
    }
}

/** The file formats whose color profile can be left out. */
internal enum class EncodedFormat {
    JPEG {
        override fun profile(encoded: ByteArray) = Jpeg.profile(encoded)
    },
    PNG {
        override fun profile(encoded: ByteArray) = chunks(encoded, PNG_START, bigEndian = true)
            .filter { it.name in PNG_COLORS }.map { it.range }
    },
    WEBP {
        override fun profile(encoded: ByteArray) = chunks(encoded, WEBP_START, bigEndian = false)
            .filter { it.name == "ICCP" }.map { it.range }

        /** The header states the length of the file, and whether it has a profile. */
        override fun without(encoded: ByteArray, ranges: List<IntRange>): ByteArray {
            val rest = super.without(encoded, ranges)
            val length = rest.size - WEBP_HEADER
            for (place in 0 until 4) rest[4 + place] = (length ushr 8 * place).toByte()
            rest[WEBP_FLAGS] = (rest[WEBP_FLAGS].toInt() and HAS_PROFILE.inv()).toByte()
            return rest
        }
    },
    OTHER {
        override fun profile(encoded: ByteArray) = emptyList<IntRange>()
    };

    /** Returns where the color profile and other descriptions of colors are. */
    abstract fun profile(encoded: ByteArray): List<IntRange>

    /** Returns the file without some of its bytes. */
    open fun without(encoded: ByteArray, ranges: List<IntRange>): ByteArray {
        val rest = ByteArray(encoded.size - ranges.sumOf { it.last - it.first + 1 })
        var from = 0
        var place = 0
        for (range in ranges + listOf(encoded.size..encoded.size)) {
            System.arraycopy(encoded, from, rest, place, range.first - from)
            place += range.first - from
            from = range.last + 1
        }
        return rest
    }

    companion object {
        private const val PNG_START = 8
        private val PNG_COLORS = setOf("iCCP", "cICP", "gAMA", "cHRM")
        private const val WEBP_START = 12
        private const val WEBP_HEADER = 8
        private const val WEBP_FLAGS = 20
        private const val HAS_PROFILE = 0x20

        fun of(encoded: ByteArray): EncodedFormat = when {
            encoded.startsWith(0, "\u00ff\u00d8\u00ff") -> JPEG
            encoded.startsWith(0, "\u0089PNG\r\n") -> PNG
            encoded.startsWith(0, "RIFF") && encoded.startsWith(8, "WEBPVP8X") -> WEBP
            else -> OTHER
        }

        /** Returns the chunks of a PNG or WebP until the first that is damaged, or that holds pixels. */
        private fun chunks(encoded: ByteArray, start: Int, bigEndian: Boolean): List<Chunk> {
            val chunks = ArrayList<Chunk>()
            var place = start
            while (place + 8 <= encoded.size) {
                val length = encoded.number(if (bigEndian) place else place + 4, 4, bigEndian)
                val name = String(encoded, if (bigEndian) place + 4 else place, 4, Charsets.ISO_8859_1)
                // PNG's chunks end with a checksum, WebP's with a byte after an odd number of them.
                val whole = 8 + if (bigEndian) length + 4 else length + length % 2
                if (place + whole > encoded.size || name == "IDAT" || name == "VP8 ") break
                chunks += Chunk(name, place until (place + whole).toInt())
                place += whole.toInt()
            }
            return chunks
        }
    }

    private class Chunk(val name: String, val range: IntRange)
}

/** The segments of a JPEG before its pixels. */
private object Jpeg {
    private const val PROFILE = 0xE2
    private const val PIXELS = 0xDA
    private const val END = 0xD9
    private val FRAMES = (0xC0..0xCF) - setOf(0xC4, 0xC8, 0xCC)

    fun profile(encoded: ByteArray): List<IntRange> = segments(encoded)
        .filter { it.marker == PROFILE && encoded.startsWith(it.range.first + 4, "ICC_PROFILE\u0000") }.map { it.range }

    /** Returns the number of color channels; null in a damaged file. */
    fun colors(encoded: ByteArray): Int? = segments(encoded).firstOrNull { it.marker in FRAMES }
        ?.let { it.range.first + 9 }?.takeIf { it < encoded.size }?.let { encoded[it].toInt() }

    private fun segments(encoded: ByteArray): List<Segment> {
        val segments = ArrayList<Segment>()
        var place = 2
        while (place + 4 <= encoded.size && encoded[place].toInt() and 0xFF == 0xFF) {
            val marker = encoded[place + 1].toInt() and 0xFF
            if (marker == 0xFF) {
                place++
                continue
            }
            if (marker == PIXELS || marker == END) break
            val end = place + 2 + encoded.number(place + 2, 2, bigEndian = true)
            if (end > encoded.size || end < place + 4) break
            segments += Segment(marker, place until end.toInt())
            place = end.toInt()
        }
        return segments
    }

    private class Segment(val marker: Int, val range: IntRange)
}

private fun ByteArray.startsWith(place: Int, text: String): Boolean =
    place + text.length <= size && text.indices.all { this[place + it].toInt() and 0xFF == text[it].code }

private fun ByteArray.number(place: Int, bytes: Int, bigEndian: Boolean): Long =
    (0 until bytes).fold(0L) { sum, index ->
        sum shl 8 or (this[place + if (bigEndian) index else bytes - 1 - index].toLong() and 0xFF)
    }

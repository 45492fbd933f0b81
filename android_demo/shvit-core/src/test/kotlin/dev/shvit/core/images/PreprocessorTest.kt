package dev.shvit.core.images

import dev.shvit.core.Shared
import dev.shvit.core.ShvitException.InvalidSettings
import dev.shvit.core.documents.InputContract
import dev.shvit.core.documents.InputKind
import dev.shvit.core.documents.InputValues
import dev.shvit.core.json.Fields
import java.io.File
import java.lang.management.ManagementFactory
import java.nio.ByteBuffer
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class PreprocessorTest {
    private val folder = Shared.vectors.resolve("preprocessing")
    private val cases = Shared.fields(folder.resolve("cases.json")).children("cases", ::Case)

    private inner class Case(fields: Fields) {
        val name = fields.text("name")
        val preprocessing = fields.child("preprocessing", Preprocessing::of)
        val picture = fields.child("picture") {
            Picture.fromRgb(it.count("width"), it.count("height"), bytes(it))
        }
        val pixels = fields.child("pixels", ::bytes)
        val normalised = fields.numbers("normalised")

        private fun bytes(fields: Fields) = File(folder, fields.text("file")).readBytes()
    }

    private val input = InputContract("image", InputKind.TENSOR, InputValues.NORMALIZED, listOf(1, 3, 1, 1), "float32")

    @Test
    fun `pixels equal Pillow's, bit for bit`() {
        val options = cases.map { it.preprocessing }.map { Triple(it.interpolation, it.resizeMode, it.channelOrder) }
        assertEquals(4 * 3 * 2, options.toSet().size, "the vectors have every combination of options")
        for (case in cases) {
            assertContentEquals(case.pixels, Preprocessor(case.preprocessing).pixels(case.picture).bytes, case.name)
        }
    }

    @Test
    fun `pixels are the same however a picture lies in memory`() {
        for (case in cases) {
            val preprocessor = Preprocessor(case.preprocessing)
            for (orientation in Orientation.entries) {
                val lying = orientation.lay(case.picture)
                assertContentEquals(case.pixels, preprocessor.prepare(lying, orientation).bytes, "${case.name} $orientation")
                val bytes = rgba(lying, lying.width * 4 + 12)
                val source = RgbaPixels(lying.width, lying.height, bytes, lying.width * 4 + 12)
                assertContentEquals(case.pixels, preprocessor.prepare(source, orientation).bytes, "${case.name} in RGBA")
            }
        }
    }

    @Test
    fun `a camera frame is prepared as its picture is`() {
        for (case in cases.filter { it.picture.width > 1 }) {
            val random = Random(3)
            val (width, height) = case.picture.width to case.picture.height
            val (columns, rows) = (width + 1) / 2 to (height + 1) / 2
            val y = Plane(ByteBuffer.wrap(random.nextBytes(width * height)), width, 1)
            val (u, v) = List(2) { Plane(ByteBuffer.wrap(random.nextBytes(2 * columns * rows)), 2 * columns, 2) }
            val preprocessor = Preprocessor(case.preprocessing)
            for (clockwise in listOf(0, 90, 180, 270)) {
                val frame = Frame(width, height, y, u, v)
                val expected = preprocessor.pixels(frame.toPicture(clockwise)).bytes
                val actual = preprocessor.prepare(frame, Orientation.fromDegrees(clockwise)).bytes
                assertContentEquals(expected, actual, "${case.name} $clockwise")
            }
        }
    }

    @Test
    fun `a letterbox into used memory is padded anew`() {
        val letterbox = Preprocessing(
            height = 8,
            width = 8,
            cropRatio = 1.0,
            resizeMode = ResizeMode.LETTERBOX,
            padding = Padding.CENTER,
            paddingValue = listOf(1, 2, 3),
        )
        val into = Pixels(8, 8, ByteArray(8 * 8 * 3))
        val preprocessor = Preprocessor(letterbox)
        for ((width, height) in listOf(16 to 8, 8 to 16, 16 to 8)) {
            val gray = Picture(width, height, IntArray(width * height) { 0x646464 })
            preprocessor.prepare(gray, Orientation.UPRIGHT, into)
            assertEquals(listOf(1, 2, 3), into.bytes.take(3).map(Byte::toInt))
            // The first pixel of the middle row, and the middle pixel of the first row.
            assertEquals(if (width > height) 100 else 1, into.bytes[4 * 8 * 3].toInt())
            assertEquals(if (width > height) 1 else 100, into.bytes[4 * 3].toInt())
        }
    }

    @Test
    fun `a letterbox states its padding, and other modes have none`() {
        val letterbox = Preprocessing(
            cropRatio = 1.0,
            resizeMode = ResizeMode.LETTERBOX,
            padding = Padding.END,
            paddingValue = listOf(0, 0, 0),
        )
        for (wrong in listOf<() -> Preprocessing>(
            { letterbox.copy(padding = null) },
            { letterbox.copy(paddingValue = null) },
            { letterbox.copy(paddingValue = listOf(0, 0, 256)) },
            { letterbox.copy(cropRatio = 0.9) },
            { letterbox.copy(resizeMode = ResizeMode.SQUASH) },
            { Preprocessing(padding = Padding.END) },
            { Preprocessing(paddingValue = listOf(0, 0, 0)) },
        )) {
            assertFailsWith<InvalidSettings> { wrong() }
        }
        assertEquals(setOf("padding", "padding_value"), letterbox.json().fields.keys - Preprocessing().json().fields.keys)
    }

    @Test
    fun `rows and columns that the crop removes are not read`() {
        val read = ArrayList<Pair<Int, IntRange>>()
        val source = object : PixelSource(1000, 400) {
            override fun read(row: Int, first: Int, count: Int, into: IntArray, at: Int, step: Int, plane: Int) {
                read += row to (first until first + count)
            }
        }
        val half = Preprocessing(height = 20, width = 20, cropRatio = 0.5, interpolation = Interpolation.BILINEAR)
        Preprocessor(half).pixels(source)
        assertEquals(read.map { it.first }, read.map { it.first }.distinct(), "each row is read once")
        assertTrue(read.all { it.first in 90 until 310 && it.second.first >= 390 && it.second.last < 610 }, "$read")
    }

    @Test
    fun `a frame makes next to no garbage`() {
        val (width, height) = 1280 to 720
        val y = Plane(ByteBuffer.allocateDirect(width * height), width, 1)
        val uv = Plane(ByteBuffer.allocateDirect(width * height / 2), width, 2)
        val preprocessing = Preprocessing()
        val preprocessor = Preprocessor(preprocessing)
        val values = TensorValues(input, preprocessing)
        val pixels = Pixels(224, 224, ByteArray(224 * 224 * 3))
        fun prepare() {
            preprocessor.prepare(Frame(width, height, y, uv, uv), Orientation.QUARTER, pixels)
            values.of(pixels)
        }
        // Enough for the virtual machine to compile the code, after which it creates no objects that do not escape.
        repeat(30) { prepare() }
        val threads = ManagementFactory.getThreadMXBean() as com.sun.management.ThreadMXBean
        val thread = Thread.currentThread().id
        val before = threads.getThreadAllocatedBytes(thread)
        repeat(10) { prepare() }
        val bytes = (threads.getThreadAllocatedBytes(thread) - before) / 10
        assertTrue(bytes < 20_000, "$bytes bytes per frame")
    }

    /** Returns the picture that this orientation makes upright. */
    private fun Orientation.lay(picture: Picture): Picture {
        val back = when (this) {
            Orientation.QUARTER -> Orientation.THREE_QUARTERS
            Orientation.THREE_QUARTERS -> Orientation.QUARTER
            else -> this
        }
        return back.upright(picture)
    }

    private fun rgba(picture: Picture, rowStride: Int): ByteBuffer {
        val bytes = ByteBuffer.allocateDirect(rowStride * (picture.height - 1) + 4 * picture.width)
        for (place in picture.pixels.indices) {
            val at = place / picture.width * rowStride + place % picture.width * 4
            val pixel = picture.pixels[place]
            for (channel in 0 until 3) bytes.put(at + channel, (pixel shr 16 - 8 * channel).toByte())
            bytes.put(at + 3, -1)
        }
        return bytes
    }

    @Test
    fun `normalized values equal the exporter's`() {
        for (case in cases) {
            val (height, width) = case.preprocessing.height to case.preprocessing.width
            val values = input.tensor(Pixels(height, width, case.pixels), case.preprocessing)
            assertEquals(3 * height * width, values.size)
            case.normalised.forEachIndexed { index, expected ->
                assertEquals(expected, values[index].toDouble(), 1e-6, "${case.name}, value $index")
            }
        }
    }

    @Test
    fun `only the middle of a very long picture is resized`() {
        val long = Picture(4000, 2, IntArray(8000) { column -> (column % 4000) * 7 % 256 })
        val small = Preprocessing(height = 2, width = 2, cropRatio = 1.0, interpolation = Interpolation.NEAREST)
        val pixels = Preprocessor(small).pixels(long)
        assertEquals(1999 * 7 % 256, pixels[0, 0, 2])
        assertEquals(2000 * 7 % 256, pixels[0, 1, 2])
        assertEquals(2 to 4000, Preprocessor(small).resizedSize(2, 4000))
    }

    @Test
    fun `a squashed picture has the size to cover, whatever its proportions`() {
        val squash = Preprocessor(Preprocessing(height = 17, width = 23, cropRatio = 0.81, resizeMode = ResizeMode.SQUASH))
        for ((height, width) in listOf(1 to 1, 9 to 4000, 4000 to 9)) {
            assertEquals(20 to 28, squash.resizedSize(height, width))
        }
    }

    @Test
    fun `a picture of 12 million pixels does not overflow`() {
        val picture = Picture(4000, 3000, IntArray(12_000_000) { 0xFFFFFF })
        assertTrue(Preprocessor(Preprocessing()).pixels(picture).bytes.all { it == 255.toByte() })
    }
}

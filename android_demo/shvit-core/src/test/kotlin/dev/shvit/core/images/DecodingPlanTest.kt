package dev.shvit.core.images

import dev.shvit.core.Shared
import dev.shvit.core.ShvitException.UndecodablePicture
import dev.shvit.core.ShvitException.UnsupportedInput
import java.io.ByteArrayOutputStream
import java.lang.management.ManagementFactory
import java.nio.ByteBuffer
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertSame
import kotlin.test.assertTrue

class DecodingPlanTest {
    private val folder = Shared.fixtures.resolve("goldens/shvit_s1-64-executorch-fp32.goldens")

    /** A JPEG with a Display-P3 profile. */
    private val wide = folder.resolve("2.jpg").readBytes()
    private val plain = folder.resolve("0.jpg").readBytes()

    @Test
    fun `the rule is that of Python and the iOS app`() {
        val cases = Shared.fields(Shared.vectors.resolve("reductions.json")).children("cases") { it }
        assertTrue(cases.size > 20)
        for (case in cases) {
            val (height, width) = case.count("height") to case.count("width")
            val preprocessing = case.child("preprocessing", Preprocessing::of)
            assertEquals(case.count("reduction"), chooseReduction(height, width), "$height x $width")
            assertEquals(case.count("reduction_with_option"), chooseReduction(height, width, preprocessing))
        }
    }

    @Test
    fun `a JPEG is decoded without its profile, and nothing else is missing`() {
        val bytes = plan(wide).bytes()
        assertTrue("ICC_PROFILE" in String(wide, Charsets.ISO_8859_1))
        assertTrue("ICC_PROFILE" !in String(bytes, Charsets.ISO_8859_1))
        // The segment: a marker, its length, a name with two numbers, and the profile.
        assertEquals(wide.size - 4 - 14 - 456, bytes.size)
        assertContentEquals(wide.copyOf(2) + wide.drop(2 + 4 + 14 + 456), bytes)
        assertSame(plain, plan(plain).bytes())
    }

    @Test
    fun `a profile in several segments is left out, and other data of an app is not`() {
        val profile = segment(0xE2, "ICC_PROFILE\u0000\u0001\u0002abc")
        val rest = segment(0xE2, "ICC_PROFILE\u0000\u0002\u0002def")
        val other = segment(0xE2, "MPF\u0000ICC_PROFILE\u0000")
        val start = bytes(0xFF, 0xD8)
        val picture = segment(0xC0, "\u0008\u0000\u0001\u0000\u0001\u0003") + bytes(0xFF, 0xDA, 1, 2, 3)
        // A marker may have bytes of 0xFF before it.
        val whole = start + profile + bytes(0xFF) + other + rest + picture
        assertContentEquals(start + bytes(0xFF) + other + picture, plan(whole).bytes())
        for (length in 2 until whole.size) plan(whole.copyOf(length)).bytes()
    }

    @Test
    fun `a PNG is decoded without what describes its colors`() {
        val start = byteArrayOf(-119) + "PNG\r\n\u001a\n".toByteArray()
        val header = chunk("IHDR", 13)
        val colors = listOf("iCCP", "cICP", "gAMA", "cHRM").map { chunk(it, 5) }.reduce(ByteArray::plus)
        val others = chunk("tEXt", 7) + chunk("PLTE", 6)
        val pixels = chunk("IDAT", 9) + chunk("gAMA", 5)
        val whole = start + header + colors + others + pixels
        assertContentEquals(start + header + others + pixels, plan(whole).bytes())
        for (length in 8 until whole.size) plan(whole.copyOf(length)).bytes()
    }

    @Test
    fun `a WebP is decoded without its profile, and its header says so`() {
        fun file(flags: Int, chunks: ByteArray): ByteArray {
            val header = "WEBP".toByteArray() + riff("VP8X", bytes(flags, 0, 0, 0, 1, 2, 3, 4, 5, 6)) + chunks
            return riff("RIFF", header)
        }
        val pixels = riff("VP8 ", bytes(1, 2, 3, 4))
        val whole = file(0x28, riff("ICCP", bytes(7, 7, 7)) + pixels)
        assertContentEquals(file(0x08, pixels), plan(whole).bytes())
        for (length in 21 until whole.size) plan(whole.copyOf(length)).bytes()
    }

    @Test
    fun `four colors are rejected, one and three are not`() {
        fun jpeg(colors: Int): ByteArray {
            val frame = segment(0xC2, "\u0008\u0000\u0001\u0000\u0001" + colors.toChar())
            return bytes(0xFF, 0xD8) + segment(0xE0, "JFIF") + frame + bytes(0xFF, 0xDA)
        }
        assertTrue("CMYK" in assertFailsWith<UnsupportedInput> { plan(jpeg(4)) }.what)
        plan(jpeg(1))
        plan(jpeg(3))
    }

    @Test
    fun `the sides of a photo that lies on its side are exchanged before they are compared with the model's`() {
        val tall = Preprocessing(height = 512, width = 64, cropRatio = 1.0, resizeMode = ResizeMode.SQUASH)
        // Upright 2048 x 256: a half has twice the height of 512 and twice the width of 64.
        assertEquals(2, DecodingPlan.of(plain, 2048, 256, Orientation.QUARTER, tall).reduction)
        assertEquals(1, DecodingPlan.of(plain, 2048, 256, Orientation.UPRIGHT, tall).reduction)
    }

    @Test
    fun `only a JPEG is decoded at reduced scale because the app allows it`() {
        val usual = Preprocessing()
        val other = "GIF89a".toByteArray()
        assertEquals(4, DecodingPlan.of(plain, 4032, 3024, reducedFor = usual).reduction)
        assertEquals(1, DecodingPlan.of(other, 4032, 3024, reducedFor = usual).reduction)
        assertEquals(2, DecodingPlan.of(other, 8064, 6048, reducedFor = usual).reduction)
    }

    @Test
    fun `a decoder may give one pixel more, and not another scale`() {
        val plan = DecodingPlan.of(plain, 8063, 6047)
        assertEquals(listOf(2, 4031, 3023), listOf(plan.reduction, plan.width, plan.height))
        plan.check(4032, 3024)
        plan.check(4031, 3023)
        for ((width, height) in listOf(8063 to 6047, 4032 to 3025, 4031 to 3022)) {
            assertFailsWith<UndecodablePicture> { plan.check(width, height) }
        }
    }

    @Test
    fun `a photo without pixels or with far too many is rejected`() {
        assertFailsWith<UndecodablePicture> { DecodingPlan.of(plain, -1, -1) }
        assertFailsWith<UnsupportedInput> { DecodingPlan.of(plain, 40_000, 40_000) }
        assertFailsWith<UnsupportedInput> { DecodingPlan.of(plain, Int.MAX_VALUE, Int.MAX_VALUE) }
    }

    /** The bitmap and its copy take 4 bytes a pixel each; then the copy and the picture do. */
    @Test
    fun `a photo of 48 megapixels takes less than 150 MB`() {
        val plan = DecodingPlan.of(plain, 8064, 6048)
        val bytes = ByteBuffer.allocateDirect(4 * (plan.width + 1) * plan.height)
        val copy = RgbaPixels(plan.width + 1, plan.height, bytes).corner(plan.width, plan.height)
        val threads = ManagementFactory.getThreadMXBean() as com.sun.management.ThreadMXBean
        val before = threads.getThreadAllocatedBytes(Thread.currentThread().id)
        val picture = copy.toPicture(Orientation.QUARTER, plan.reduction)
        val allocated = threads.getThreadAllocatedBytes(Thread.currentThread().id) - before
        assertEquals(listOf(3024, 4032, 2), listOf(picture.width, picture.height, picture.reduction))
        assertTrue(allocated < 4L * plan.width * plan.height + 1_000_000, "$allocated")
        assertTrue(bytes.capacity() + allocated < 150_000_000 * 2 / 3)
        for (side in 100..30_000 step 100) {
            val largest = DecodingPlan.of(plain, side, side)
            assertTrue(8L * largest.width * largest.height < 150_000_000)
        }
    }

    @Test
    fun `a bitmap without colors of 8 bits is rejected`() {
        for (config in listOf("ARGB_8888", "RGB_565", "ARGB_4444", "HARDWARE")) checkBitmap(config)
        for (config in listOf("ALPHA_8", "RGBA_F16", "RGBA_1010102", null)) {
            assertFailsWith<UnsupportedInput> { checkBitmap(config) }
        }
    }

    private fun plan(encoded: ByteArray) = DecodingPlan.of(encoded, 10, 10)

    private fun bytes(vararg values: Int) = ByteArray(values.size) { values[it].toByte() }

    private fun segment(marker: Int, content: String): ByteArray {
        val length = content.length + 2
        return bytes(0xFF, marker, length ushr 8, length and 0xFF) + content.toByteArray(Charsets.ISO_8859_1)
    }

    private fun chunk(name: String, length: Int): ByteArray {
        val chunk = ByteArrayOutputStream()
        chunk.write(ByteBuffer.allocate(4).putInt(length).array())
        chunk.write(name.toByteArray() + ByteArray(length + 4) { 7 })
        return chunk.toByteArray()
    }

    private fun riff(name: String, content: ByteArray): ByteArray {
        val length = content.size
        val padding = ByteArray(length % 2)
        return name.toByteArray() + bytes(length and 0xFF, length ushr 8, 0, 0) + content + padding
    }
}

import android.graphics.Bitmap
import dev.shvit.BitmapDecoder
import dev.shvit.ImageClassifier
import dev.shvit.core.ShvitException
import dev.shvit.core.images.Picture
import dev.shvit.core.images.Pixels
import dev.shvit.core.images.Preprocessing
import dev.shvit.core.images.Preprocessor
import dev.shvit.toPicture
import dev.shvit.toPixels
import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

/** Photos and bitmaps become upright, opaque pictures. */
class PicturesTest : OnPhone() {
    private fun decode(encoded: ByteArray, reducedFor: Preprocessing? = null) =
        background { BitmapDecoder(reducedFor).decode(encoded) }

    private fun assertQuarters(picture: Picture, vararg colors: Int) = assertColors(colors.toList()) { x, y ->
        picture.pixels[(y * picture.height).toInt() * picture.width + (x * picture.width).toInt()]
    }

    private fun bitmap(colors: (Double, Double) -> Int, config: Bitmap.Config = Bitmap.Config.ARGB_8888): Bitmap {
        val pixels = IntArray(40 * 30) { colors((it % 40 + 0.5) / 40, (it / 40 + 0.5) / 30) }
        return Bitmap.createBitmap(pixels, 40, 30, config)
    }

    private fun opaque(x: Double, y: Double) = 0xFF shl 24 or upright.at(x, y)

    @Test
    fun `each EXIF orientation is made upright`() {
        val stored = mapOf(
            1 to listOf(RED, GREEN, BLUE, YELLOW),
            2 to listOf(GREEN, RED, YELLOW, BLUE),
            3 to listOf(YELLOW, BLUE, GREEN, RED),
            4 to listOf(BLUE, YELLOW, RED, GREEN),
            5 to listOf(RED, BLUE, GREEN, YELLOW),
            6 to listOf(BLUE, RED, YELLOW, GREEN),
            7 to listOf(YELLOW, GREEN, BLUE, RED),
            8 to listOf(GREEN, YELLOW, RED, BLUE),
        )
        for ((orientation, expected) in stored) {
            val picture = decode(encode("jpg", 96, 64, upright, orientation))
            assertEquals(if (orientation < 5) 96 to 64 else 64 to 96, picture.width to picture.height)
            assertQuarters(picture, *expected.toIntArray())
        }
    }

    @Test
    fun `a picture without orientation stays as it is`() {
        assertQuarters(decode(encode("jpg", 96, 64, upright)), RED, GREEN, BLUE, YELLOW)
        assertQuarters(decode(encode("png", 96, 64, { x, y -> opaque(x, y) })), RED, GREEN, BLUE, YELLOW)
    }

    @Test
    fun `transparency is laid on white`() {
        val picture = decode(encode("png", 96, 64, { x, y -> (if (x < 0.5) 0 else 0x80) shl 24 or upright.at(x, y) }))
        assertQuarters(picture, 0xFFFFFF, 0x98D998, 0xFFFFFF, 0xE8E39D)
        val premultiplied = bitmap({ x, y -> (if (x < 0.5) 0 else 0x80) shl 24 or upright.at(x, y) }).toPicture()
        assertQuarters(premultiplied, 0xFFFFFF, 0x98D998, 0xFFFFFF, 0xE8E39D)
    }

    @Test
    fun `a large JPEG is decoded at reduced scale if the app allows it`() {
        val model = Preprocessing(height = 8, width = 8, cropRatio = 1.0)
        val picture = decode(encode("jpg", 96, 64, upright), model)
        assertEquals(listOf(24, 16, 4), listOf(picture.width, picture.height, picture.reduction))
        assertQuarters(picture, RED, GREEN, BLUE, YELLOW)
        assertEquals(1, decode(encode("jpg", 96, 64, upright)).reduction)
        assertEquals(1, decode(encode("png", 96, 64, { x, y -> opaque(x, y) }), model).reduction)
    }

    @Test
    fun `no color profile is applied`() {
        val goldens = File(System.getProperty("shvit.repository"), GOLDENS)
        val pixels = goldens.resolve("2.pixels.rgb").readBytes()
        val model = Preprocessing(height = 64, width = 64, cropRatio = 1.0)
        val own = Preprocessor(model).pixels(decode(goldens.resolve("2.jpg").readBytes()))
        assertTrue(own.differenceFrom(Pixels(64, 64, pixels)) < 1)
    }

    @Test
    fun `bitmaps without colors of 8 bits are rejected`() {
        for (config in listOf(Bitmap.Config.ALPHA_8, Bitmap.Config.RGBA_F16)) {
            assertFailsWith<ShvitException.UnsupportedInput> { bitmap(::opaque, config).toPixels() }
        }
    }

    @Test
    fun `bitmaps of every kind are read`() {
        for (config in listOf(Bitmap.Config.ARGB_8888, Bitmap.Config.RGB_565, Bitmap.Config.HARDWARE)) {
            val bitmap = bitmap(::opaque, config)
            assertQuarters(bitmap.toPixels().toPicture(), RED, GREEN, BLUE, YELLOW)
            assertEquals(false, bitmap.isRecycled)
        }
    }

    @Test
    fun `an app classifies bitmaps and photos with one call`() {
        background {
            ImageClassifier.named(context, stem, threads = 1).use { classifier ->
                classifier.classify(bitmap(::opaque))
                assertModelSees(RED, GREEN, BLUE, YELLOW)
                classifier.classify(bitmap({ _, _ -> 0xFF shl 24 or BLUE }))
                assertModelSees(BLUE, BLUE, BLUE, BLUE)
                classifier.classify(encode("jpg", 96, 64, turned(90), orientation = 6))
                assertModelSees(RED, GREEN, BLUE, YELLOW)
            }
        }
    }

    @Test
    fun `bytes that are no picture are an error`() {
        assertFailsWith<ShvitException> { decode("no picture".toByteArray()) }
    }

    private companion object {
        const val GOLDENS = "schemas/fixtures/goldens/shvit_s1-64-executorch-fp32.goldens"
    }
}

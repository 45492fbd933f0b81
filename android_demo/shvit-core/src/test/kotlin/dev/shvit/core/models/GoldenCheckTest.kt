package dev.shvit.core.models

import dev.shvit.core.Shared
import dev.shvit.core.ShvitException.ArtifactChanged
import dev.shvit.core.documents.Goldens
import dev.shvit.core.images.ChannelOrder
import dev.shvit.core.images.Picture
import dev.shvit.core.images.Preprocessor
import dev.shvit.core.json.Json
import kotlin.math.abs
import kotlin.math.log10
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue

class GoldenCheckTest {
    private val name = "goldens/shvit_s1-64-executorch-fp32.goldens"
    private val files = FolderFiles(Shared.fixtures)
    private val goldens = Goldens.read(Shared.fixtures.resolve("$name/goldens.json").readText(), "goldens.json")
    private val folder = GoldenFolder(goldens, files, name)
    private val preprocessor = Preprocessor(goldens.preprocessing)

    @Test
    fun `the goldens' own logits pass`() {
        val check = folder.check(imageIo, preprocessor::pixels, LookUp.of(folder))
        assertTrue(check.preprocessingPassed, "pixels differ by ${check.pixelsDifference}")
        assertTrue(check.inferencePassed && check.passed)
        assertEquals(goldens.images.size, check.images)
        assertEquals(goldens.images.size, check.sameClass)
        assertEquals(goldens.tolerance, check.tolerance)
    }

    @Test
    fun `logits beyond the tolerance fail only inference`() {
        val off = 0.25f
        val check = folder.check(imageIo, preprocessor::pixels, LookUp.of(folder, off))
        assertTrue(check.preprocessingPassed)
        assertFalse(check.inferencePassed || check.passed)
        assertEquals(off.toDouble(), check.largestDifference, 1e-6)
        val logits = goldens.images.flatMap { it.logits }
        assertEquals(10 * log10(logits.sumOf { it * it } / (logits.size * off * off)), check.sqnrDb, 1e-4)
        assertEquals(goldens.images.size, check.sameClass)
    }

    @Test
    fun `swapped channels fail only preprocessing`() {
        val swapped = Preprocessor(goldens.preprocessing.copy(channelOrder = ChannelOrder.BGR))
        val check = folder.check(imageIo, swapped::pixels, LookUp.of(folder))
        assertFalse(check.preprocessingPassed || check.passed)
        assertTrue(check.pixelsDifference > goldens.pixelsTolerance)
        assertTrue(check.inferencePassed)
    }

    @Test
    fun `a decoder that converts colors fails only preprocessing`() {
        val check = folder.check(convertingImageIo, preprocessor::pixels, LookUp.of(folder))
        assertFalse(check.preprocessingPassed)
        assertTrue(check.pixelsDifference > 8, "${check.pixelsDifference}")
        assertTrue(check.inferencePassed)
    }

    @Test
    fun `reduced scale has a tolerance of its own, which means pass and samples do not`() {
        val means = folder.check(reducedImageIo(goldens.preprocessing, ::mean), preprocessor::pixels, LookUp.of(folder))
        assertTrue(means.preprocessingPassed && means.pixelsDifference > 0.1, "${means.pixelsDifference}")
        val samples = reducedImageIo(goldens.preprocessing) { pixels -> pixels[0] }
        assertFalse(folder.check(samples, preprocessor::pixels, LookUp.of(folder)).preprocessingPassed)
        val off = Decoder { encoded ->
            val picture = imageIo.decode(encoded)
            val pixels = IntArray(picture.pixels.size) { picture.pixels[it] xor 0x020202 }
            Picture(picture.width, picture.height, pixels, reduction = 2)
        }
        val wide = folder.check(off, preprocessor::pixels, LookUp.of(folder))
        assertTrue(wide.preprocessingPassed && wide.pixelsDifference > goldens.pixelsTolerance)
        val older = GoldenFolder(goldens.copy(reducedPixelsTolerance = null), files, name)
        assertFalse(older.check(off, preprocessor::pixels, LookUp.of(folder)).preprocessingPassed)
    }

    @Test
    fun `a different class is counted`() {
        val first = goldens.images.first()
        val answers = goldens.images.associate { image ->
            val sign = if (image == first) -1 else 1
            image.pixelsSha256 to image.logits.map { sign * it.toFloat() }.toFloatArray()
        }
        val check = folder.check(imageIo, preprocessor::pixels, LookUp(answers))
        assertEquals(goldens.images.size - 1, check.sameClass)
        assertEquals(first.logits.maxOf { abs(2 * it) }, check.largestDifference, 1e-5)
    }

    @Test
    fun `a NaN logit fails and can be written`() {
        val broken = goldens.images.associate { it.pixelsSha256 to FloatArray(it.logits.size) { Float.NaN } }
        val check = folder.check(imageIo, preprocessor::pixels, LookUp(broken))
        assertFalse(check.inferencePassed)
        assertEquals(Double.MAX_VALUE, check.largestDifference)
        assertEquals(Json.Text("-Infinity"), check.json().fields["sqnr_db"])
    }

    @Test
    fun `a model with another number of classes is rejected`() {
        val other = LookUp(goldens.images.associate { it.pixelsSha256 to FloatArray(1000) })
        val error = assertFailsWith<ArtifactChanged> { folder.check(imageIo, preprocessor::pixels, other) }
        assertEquals("The model has 1000 logits, but its goldens have 10.", error.what)
    }

    @Test
    fun `a damaged picture is an error, not a failed check`() {
        val (first, second) = goldens.images.take(2)
        val exchanged = goldens.copy(images = listOf(first.copy(image = second.image)))
        val damaged = GoldenFolder(exchanged, files, name)
        val error = assertFailsWith<ArtifactChanged> { damaged.check(imageIo, preprocessor::pixels, LookUp.of(folder)) }
        assertEquals("$name/1.jpg is damaged.", error.what)
        val gone = GoldenFolder(goldens, files, "goldens/nowhere")
        assertFailsWith<ArtifactChanged> { gone.check(imageIo, preprocessor::pixels, LookUp.of(folder)) }
    }
}

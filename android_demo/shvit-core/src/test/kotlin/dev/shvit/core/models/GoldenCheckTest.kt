package dev.shvit.core.models

import dev.shvit.core.Shared
import dev.shvit.core.ShvitException.ArtifactChanged
import dev.shvit.core.documents.Goldens
import dev.shvit.core.documents.Manifest
import dev.shvit.core.documents.OutputMap
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
        assertEquals("The model returned 1000 values as logits, but its goldens have 10 logits.", error.what)
    }

    private val detector = "goldens/detector-64-executorch-fp32"
    private val ofMaps = Goldens.read(Shared.fixtures.resolve("$detector.goldens/goldens.json").readText(), "goldens.json")
    private val maps =
        Manifest.read(Shared.fixtures.resolve("$detector.manifest.json").readText(), "detector").output.maps

    private fun checkMaps(maps: List<OutputMap> = this.maps, change: (String, Float) -> Float = { _, value -> value }) =
        GoldenFolder(ofMaps, files, "$detector.goldens")
            .check(imageIo, preprocessor::pixels, LookUpMaps(ofMaps, maps, change))

    @Test
    fun `the maps of a detector are compared at the goldens' positions, and no class is`() {
        val check = checkMaps()
        assertTrue(check.passed)
        assertEquals(null, check.sameClass)
        assertTrue(check.sqnrDb > 100)
        assertEquals(Json.Null, check.json().fields["same_class"])
    }

    @Test
    fun `each map has a tolerance of its own, and the map that is furthest beyond its own is reported`() {
        // 0.005 is half of the tolerance of scores16, 2.5 times that of boxes32, and 5 times that of boxes16.
        for ((name, tolerance) in listOf("scores16" to 0.01, "boxes32" to 0.002, "boxes16" to 0.001)) {
            val check = checkMaps { output, value -> if (output == name) value + 0.005f else value }
            assertEquals(name == "scores16", check.inferencePassed, name)
            assertEquals(0.005, check.largestDifference, 1e-5)
            assertEquals(tolerance, check.tolerance)
        }
        assertEquals(0.001, checkMaps { _, value -> value + 0.005f }.tolerance)
        // All of the signal of one map is lost: 0 dB.
        assertEquals(0.0, checkMaps { output, value -> if (output == "boxes16") 0f else value }.sqnrDb, 1e-6)
    }

    @Test
    fun `a map that is missing or too small is an error, and one that is no number fails`() {
        assertFailsWith<ArtifactChanged> { checkMaps(maps.dropLast(1)) }
        val small = maps.first().copy(shape = listOf(1, 4, 4))
        assertFailsWith<ArtifactChanged> { checkMaps(listOf(small) + maps.drop(1)) }
        assertFalse(checkMaps { _, _ -> Float.NaN }.passed)
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

package dev.shvit.core.models

import dev.shvit.core.Shared
import dev.shvit.core.documents.Manifest
import dev.shvit.core.images.Picture
import dev.shvit.core.images.Pixels
import dev.shvit.core.measure.SimulatedPhone
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class RecogniserTest {
    private val file = Shared.fixtures.resolve("goldens/shvit_s1-64-executorch-fp32.manifest.json")
    private val manifest = Manifest.read(file.readText(), file.name)
    private val phone = SimulatedPhone()

    /** Likes the class of the mean of all bytes, and takes 3 ms to prepare and 8 ms to run. */
    private inner class MeanOfBytes : Classifier {
        var closed = false

        override fun prepared(pixels: Pixels): Inference {
            phone.pass(3.0)
            val mean = pixels.bytes.map { it.toInt() and 0xFF }.average().toInt()
            return Inference {
                phone.pass(8.0)
                FloatArray(manifest.labels.size) { if (it == mean) 9f else it / 10f }
            }
        }

        override fun close() {
            closed = true
        }
    }

    @Test
    fun `a picture is preprocessed, named and timed`() {
        val recogniser = Recogniser(manifest, MeanOfBytes(), phone)
        val recognition = recogniser.recognise(Picture(70, 90, IntArray(70 * 90) { 0x040404 }), count = 2)
        assertEquals(listOf(4, 9), recognition.best.map { it.index })
        assertEquals(manifest.labels[4], recognition.best.first().label)
        assertEquals(3.0 to 8.0, recognition.preparationMs to recognition.inferenceMs)
    }

    @Test
    fun `closing it closes its model`() {
        val classifier = MeanOfBytes()
        Recogniser(manifest, classifier, phone).close()
        assertTrue(classifier.closed)
    }
}

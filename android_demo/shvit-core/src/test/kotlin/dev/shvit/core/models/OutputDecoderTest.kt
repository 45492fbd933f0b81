package dev.shvit.core.models

import dev.shvit.core.Shared
import dev.shvit.core.ShvitException.RuntimeFailure
import dev.shvit.core.documents.Manifest
import dev.shvit.core.documents.Task
import kotlin.math.exp
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class OutputDecoderTest {
    private fun manifest(stem: String): Manifest {
        val file = Shared.fixtures.resolve("goldens/$stem.manifest.json")
        return Manifest.read(file.readText(), file.name)
    }

    private val detector = manifest("detector-64-executorch-fp32")

    /** The maps of a detector that finds one dog, 32 pixels wide, at row 2 and column 1 of the stride 16. */
    private val maps = detector.output.maps.associate { map ->
        map.name to FloatArray(map.shape.fold(1, Int::times)) { if (map.name.startsWith("scores")) -9f else 0f }
    }.also { it.getValue("scores16")[16 + 2 * 4 + 1] = 2f }

    @Test
    fun `a detector's boxes are in pixels of the picture`() {
        val found = OutputDecoder(detector).decode(maps, height = 96, width = 144) as Finding.Objects
        val (label, box) = found.objects.single()
        assertEquals("dog", label)
        assertEquals(1 / (1 + exp(-2.0)), box.score.toDouble(), 1e-6)
        // In the input from (8, 24) to (40, 56), of which the picture's middle, 96 pixels wide, is 64.
        assertEquals(listOf(36f, 36f, 84f, 84f), listOf(box.left, box.top, box.right, box.bottom))
    }

    @Test
    fun `a classifier's best classes are named`() {
        val decoder = OutputDecoder(manifest("shvit_s1-64-executorch-fp32"))
        val found = decoder.decode(mapOf("logits" to FloatArray(10) { it.toFloat() }), 1, 1, count = 2)
        assertEquals(listOf("truck", "ship"), (found as Finding.Classes).predictions.map { it.label })
        assertFailsWith<RuntimeFailure> { decoder.decode(mapOf("others" to FloatArray(10)), 1, 1) }
    }

    @Test
    fun `maps of another size are an error, and so are missing ones`() {
        assertFailsWith<RuntimeFailure> { OutputDecoder(detector).decode(maps - "boxes32", 1, 1) }
        assertFailsWith<RuntimeFailure> { OutputDecoder(detector).decode(maps + ("boxes32" to FloatArray(15)), 1, 1) }
    }

    @Test
    fun `feature maps are no finding`() {
        val features = detector.copy(task = Task.FEATURES, detection = null, labels = emptyList())
        assertEquals(Finding.Maps, OutputDecoder(features).decode(maps, 1, 1))
    }
}

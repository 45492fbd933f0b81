package dev.shvit.core.measure

import dev.shvit.core.Shared
import dev.shvit.core.ShvitException
import dev.shvit.core.ShvitException.ArtifactChanged
import dev.shvit.core.ShvitException.InvalidSettings
import dev.shvit.core.ShvitException.ModelNotEmbedded
import dev.shvit.core.ShvitException.UnsupportedDocument
import dev.shvit.core.documents.Manifest
import dev.shvit.core.documents.Target
import dev.shvit.core.models.Engines
import dev.shvit.core.models.LinkedEngine
import dev.shvit.core.models.ModelStore
import dev.shvit.core.models.Stored
import dev.shvit.core.models.embedded
import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertIs
import kotlin.test.assertSame
import kotlin.test.assertTrue

class BenchmarkPlanTest {
    private val stem = "shvit_s1-64-executorch-fp32"
    private val whole = stored("whole")
    private val broken = Stored.Broken("broken", ArtifactChanged("broken/broken.pte does not exist."))
    private val apples = stored("apples") { it.replace("\"target\": \"executorch\"", "\"target\": \"coreml\"") }

    private fun stored(place: String, change: (String) -> String = { it }): Stored {
        val root = Shared.work("plan-$place")
        val files = embedded(Shared.fixtures.resolve("goldens"), stem, root, "a program".toByteArray())
        val manifest: File = root.resolve("$stem/$stem.manifest.json")
        val text = Manifest.read(manifest.readText(), stem).text()
        manifest.writeText(change(text))
        return ModelStore(files).models().single()
    }

    private val engines = Engines(LinkedEngine(Target.EXECUTORCH, "ExecuTorch", "1.4.1"))

    private fun plan(request: BenchmarkRequest, vararg stored: Stored) =
        BenchmarkPlan.of(request, stored.toList(), 8, engines)

    private fun failure(request: BenchmarkRequest, vararg stored: Stored): ShvitException =
        assertFailsWith<ShvitException> { plan(request, *stored) }

    @Test
    fun `every model is measured with each number of threads, and unusable ones are listed`() {
        val plan = plan(BenchmarkRequest(threads = listOf(1, 4)), whole, broken, apples)
        assertEquals(listOf(stem to 1, stem to 4), plan.subjects.map { it.model.stem to it.threads })
        assertEquals(listOf("broken", stem), plan.leftOut.map { it.stem })
        assertEquals("$stem.pte is for coreml.", plan.leftOut.last().reason.what)
    }

    @Test
    fun `a model is measured if the app links its runtime`() {
        val tflite = stored("litert") { it.replace("\"target\": \"executorch\"", "\"target\": \"litert\"") }
        assertIs<UnsupportedDocument>(failure(BenchmarkRequest(), tflite))
        val both = Engines(LinkedEngine(Target.LITERT, "LiteRT", "2.3.0"), LinkedEngine(Target.EXECUTORCH, "", ""))
        assertEquals(2, BenchmarkPlan.of(BenchmarkRequest(), listOf(whole, tflite), 8, both).subjects.size)
    }

    @Test
    fun `a named model must exist and be usable`() {
        assertEquals(stem, plan(BenchmarkRequest(listOf(stem)), whole, broken).subjects.single().model.stem)
        assertTrue(plan(BenchmarkRequest(listOf(stem)), whole, broken).leftOut.isEmpty())
        assertSame(broken.reason, failure(BenchmarkRequest(listOf("broken")), whole, broken))
        assertIs<UnsupportedDocument>(failure(BenchmarkRequest(listOf(stem)), apples))
        val missing = failure(BenchmarkRequest(listOf("shvit_s9")), whole, broken)
        assertIs<ModelNotEmbedded>(missing)
        assertEquals("Models: $stem, broken.", missing.why)
    }

    @Test
    fun `an app without a usable model is an error`() {
        assertIs<ModelNotEmbedded>(failure(BenchmarkRequest()))
        assertIs<ModelNotEmbedded>(failure(BenchmarkRequest(listOf("a"))))
        assertSame(broken.reason, failure(BenchmarkRequest(), broken))
    }

    @Test
    fun `more threads than cores are rejected`() {
        assertFailsWith<InvalidSettings> { plan(BenchmarkRequest(threads = listOf(1, 9)), whole) }
        assertFailsWith<InvalidSettings> { plan(BenchmarkRequest(threads = listOf(0)), whole) }
        assertEquals(8, plan(BenchmarkRequest(threads = listOf(8)), whole).subjects.single().threads)
    }
}

package dev.shvit.core.models

import dev.shvit.core.Shared
import dev.shvit.core.ShvitException.UnsupportedDocument
import dev.shvit.core.documents.DeviceReport
import dev.shvit.core.documents.Manifest
import dev.shvit.core.documents.Target
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertSame
import kotlin.test.assertTrue

class EngineTest {
    private val name = "shvit_s1-64-executorch-fp32"
    private val manifest =
        Manifest.read(Shared.fixtures.resolve("goldens/$name.manifest.json").readText(), "manifest")
    private val written = manifest.versions.getValue("executorch")
    private val executorch = LinkedEngine(Target.EXECUTORCH, "ExecuTorch", "1.4.1")
    private val litert = LinkedEngine(Target.LITERT, "LiteRT", "2.3.0")

    private fun forTarget(target: Target) = manifest.copy(target = target, delegation = null)

    @Test
    fun `the version that wrote a program is accepted, whatever its build`() {
        manifest.checkExecuTorch(written)
        manifest.checkExecuTorch("$written+cpu")
        manifest.copy(versions = mapOf("executorch" to "$written+cpu")).checkExecuTorch(written)
    }

    @Test
    fun `another version or an unknown one is rejected`() {
        val error = assertFailsWith<UnsupportedDocument> { manifest.checkExecuTorch("0.5.0") }
        assertEquals("$name.pte was written by ExecuTorch $written, and this app runs 0.5.0.", error.what)
        assertFailsWith<UnsupportedDocument> { manifest.copy(versions = emptyMap()).checkExecuTorch(written) }
    }

    @Test
    fun `engine and versions equal those of the fixtures`() {
        val report = Shared.fixtures.resolve("device_report/pixel-8.json")
        val fixture = DeviceReport.read(report.readText(), report.name)
        val engine = LinkedEngine(Target.EXECUTORCH, "ExecuTorch", fixture.versions.getValue("executorch"))
        assertEquals(fixture.results.first().engine, engine.describe(manifest))
        assertEquals("ExecuTorch 1.4.1 (CoreMLBackend)", executorch.describe(other("CoreMLBackend")))
        assertEquals("LiteRT 2.3.0", litert.describe(forTarget(Target.LITERT)))
        val versions = Engines(engine).versions(listOf(manifest, manifest), "Android 15 (API 35)")
        assertEquals(fixture.versions + ("android" to "Android 15 (API 35)"), versions)
    }

    private fun other(backend: String) = manifest.copy(delegation = manifest.delegation?.copy(backend = backend))

    @Test
    fun `a report names the runtimes that were measured and all exporters`() {
        val engines = Engines(executorch, litert)
        val newer = forTarget(Target.LITERT).copy(versions = mapOf("shvit-mobile" to "0.2.0"))
        assertEquals(
            mapOf("shvit-mobile" to "0.1.0, 0.2.0", "litert" to "2.3.0", "executorch" to "1.4.1", "android" to ""),
            engines.versions(listOf(newer, manifest), ""),
        )
        assertEquals(setOf("shvit-mobile", "litert", "android"), engines.versions(listOf(newer), "").keys)
        val unknown = manifest.copy(versions = emptyMap())
        assertEquals(setOf("executorch", "android"), engines.versions(listOf(unknown), "").keys)
    }

    @Test
    fun `each model has the engine of its target`() {
        val engines = Engines(executorch, litert)
        assertSame(executorch, engines.of(manifest))
        assertSame(litert, engines.of(forTarget(Target.LITERT)))
        assertTrue(engines.runs(manifest))
        assertFalse(engines.runs(forTarget(Target.ONNX)))
    }

    @Test
    fun `a model for another runtime is rejected, with the library to link if there is one`() {
        val again = "Export it again: shvit-mobile export --target executorch"
        val onnx = assertFailsWith<UnsupportedDocument> { Engines(executorch, litert).of(forTarget(Target.ONNX)) }
        assertEquals(listOf("$name.pte is for onnx.", again), listOf(onnx.what, onnx.hint))
        assertEquals("This app runs models for executorch, litert.", onnx.why)
        val tflite = assertFailsWith<UnsupportedDocument> { Engines(executorch).of(forTarget(Target.LITERT)) }
        assertEquals("$again, or link dev.shvit:shvit-litert and name its engine.", tflite.hint)
    }
}

package dev.shvit.core.models

import dev.shvit.core.Shared
import dev.shvit.core.ShvitException.UnsupportedDocument
import dev.shvit.core.documents.DeviceReport
import dev.shvit.core.documents.Manifest
import dev.shvit.core.documents.Target
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class RuntimeVersionTest {
    private val name = "shvit_s1-64-executorch-fp32"
    private val manifest =
        Manifest.read(Shared.fixtures.resolve("goldens/$name.manifest.json").readText(), "manifest")
    private val written = manifest.versions.getValue("executorch")

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
        assertEquals(fixture.results.first().engine, manifest.engineName(fixture.versions.getValue("executorch")))
        assertEquals("ExecuTorch 2.0.0 (CoreMLBackend)", other("CoreMLBackend").engineName("2.0.0"))
        assertEquals("ExecuTorch 2.0.0", manifest.copy(delegation = null).engineName("2.0.0"))
        val versions = collectVersions(listOf(manifest, manifest), "1.4.1", "Android 15 (API 35)")
        assertEquals(fixture.versions + ("android" to "Android 15 (API 35)"), versions)
        val newer = manifest.copy(versions = mapOf("shvit-mobile" to "0.2.0"))
        assertEquals("0.1.0, 0.2.0", collectVersions(listOf(newer, manifest), "1.4.1", "")["shvit-mobile"])
        val unknown = manifest.copy(versions = emptyMap())
        assertEquals(setOf("executorch", "android"), collectVersions(listOf(unknown), "1.4.1", "").keys)
    }

    private fun other(backend: String) = manifest.copy(delegation = manifest.delegation?.copy(backend = backend))

    @Test
    fun `a model for another runtime is rejected`() {
        assertFailsWith<UnsupportedDocument> { manifest.copy(target = Target.ONNX).checkExecuTorch(written) }
    }
}

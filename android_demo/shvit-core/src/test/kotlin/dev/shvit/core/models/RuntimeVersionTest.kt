package dev.shvit.core.models

import dev.shvit.core.BadModel
import dev.shvit.core.Shared
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
    fun `the version that wrote a program runs it, of whatever build`() {
        manifest.checkExecuTorch(written)
        manifest.checkExecuTorch("$written+cpu")
        manifest.copy(versions = mapOf("executorch" to "$written+cpu")).checkExecuTorch(written)
    }

    @Test
    fun `another version is refused, and so is a program that does not tell`() {
        val error = assertFailsWith<BadModel> { manifest.checkExecuTorch("0.5.0") }
        assertEquals("$name.pte was written by ExecuTorch $written, and this app runs 0.5.0.", error.what)
        assertFailsWith<BadModel> { manifest.copy(versions = emptyMap()).checkExecuTorch(written) }
    }

    @Test
    fun `reports name engine and versions as those of the fixtures do`() {
        val report = Shared.fixtures.resolve("device_report/pixel-8.json")
        val fixture = DeviceReport.read(report.readText(), report.name)
        assertEquals(fixture.results.first().engine, manifest.engine(fixture.versions.getValue("executorch")))
        assertEquals("ExecuTorch 2.0.0 (CoreMLBackend)", other("CoreMLBackend").engine("2.0.0"))
        assertEquals("ExecuTorch 2.0.0", manifest.copy(delegation = null).engine("2.0.0"))
        val versions = versionsOf(listOf(manifest, manifest), "1.4.1", "Android 15 (API 35)")
        assertEquals(fixture.versions + ("android" to "Android 15 (API 35)"), versions)
        val newer = manifest.copy(versions = mapOf("shvit-mobile" to "0.2.0"))
        assertEquals("0.1.0, 0.2.0", versionsOf(listOf(newer, manifest), "1.4.1", "")["shvit-mobile"])
        val unknown = manifest.copy(versions = emptyMap())
        assertEquals(setOf("executorch", "android"), versionsOf(listOf(unknown), "1.4.1", "").keys)
    }

    private fun other(backend: String) = manifest.copy(delegation = manifest.delegation?.copy(backend = backend))

    @Test
    fun `what is no ExecuTorch program is refused`() {
        assertFailsWith<BadModel> { manifest.copy(target = Target.ONNX).checkExecuTorch(written) }
    }
}

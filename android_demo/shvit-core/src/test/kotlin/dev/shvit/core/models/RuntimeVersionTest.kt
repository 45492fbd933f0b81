package dev.shvit.core.models

import dev.shvit.core.BadModel
import dev.shvit.core.Shared
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
    fun `what is no ExecuTorch program is refused`() {
        assertFailsWith<BadModel> { manifest.copy(target = Target.ONNX).checkExecuTorch(written) }
    }
}

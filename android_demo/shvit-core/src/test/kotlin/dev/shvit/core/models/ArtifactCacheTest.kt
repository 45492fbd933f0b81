package dev.shvit.core.models

import dev.shvit.core.Shared
import dev.shvit.core.ShvitException.ArtifactChanged
import dev.shvit.core.ShvitException.RuntimeFailure
import dev.shvit.core.documents.Manifest
import java.io.IOException
import java.io.InputStream
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse

class ArtifactCacheTest {
    private val stem = "shvit_s1-64-executorch-fp32"
    private val root = Shared.work("cache-store")
    private val folder = Shared.work("cache").resolve("models")
    private val cache = ArtifactCache(folder)
    private val program = ByteArray(100_000) { (it * 31).toByte() }

    /** Files that count how often they are read, like an app's assets. */
    private class Counting(private val files: Files, private val broken: (InputStream) -> InputStream = { it }) :
        Files by files {
        var opened = 0

        override fun open(file: String): InputStream {
            if (!file.endsWith(".pte")) return files.open(file)
            opened++
            return broken(files.open(file))
        }
    }

    private fun stored(bytes: ByteArray, sha256: String, broken: (InputStream) -> InputStream = { it }): Counting {
        val files = embedded(Shared.fixtures.resolve("goldens"), stem, root, bytes)
        val file = root.resolve("$stem/$stem.manifest.json")
        val manifest = Manifest.read(file.readText(), file.name)
        val artifact = manifest.artifact.copy(sha256 = sha256, bytes = bytes.size.toLong())
        file.writeText(manifest.copy(artifact = artifact).text())
        return Counting(files, broken)
    }

    private fun names() = folder.list().orEmpty().toList()

    @Test
    fun `an artifact is copied once for all caches`() {
        val files = stored(program, sha256(program))
        val model = ModelStore(files).model(stem)
        val file = cache.file(model)
        assertContentEquals(program, file.readBytes())
        assertEquals(file, ArtifactCache(folder).file(model))
        assertEquals(1, files.opened)
        assertEquals(listOf(sha256(program)), names())
    }

    @Test
    fun `a damaged artifact is rejected and leaves no file`() {
        val model = ModelStore(stored(program, sha256(ByteArray(1)))).model(stem)
        val error = assertFailsWith<ArtifactChanged> { cache.file(model) }
        assertEquals("$stem/$stem.pte differs from its manifest.", error.what)
        assertEquals(emptyList(), names())
    }

    @Test
    fun `an interrupted copy leaves no file, and the next one succeeds`() {
        val halfway = { stream: InputStream ->
            object : InputStream() {
                private var left = 50_000

                override fun read(): Int = if (left-- > 0) stream.read() else throw IOException("no room")
            }
        }
        val breaking = stored(program, sha256(program), halfway)
        val error = assertFailsWith<RuntimeFailure> { cache.file(ModelStore(breaking).model(stem)) }
        assertEquals("$stem/$stem.pte cannot be copied: no room.", error.what)
        assertEquals(emptyList(), names())
        folder.resolve("${sha256(program)}.part").writeBytes(ByteArray(200_000))
        val model = ModelStore(stored(program, sha256(program))).model(stem)
        assertContentEquals(program, cache.file(model).readBytes())
        assertEquals(listOf(sha256(program)), names())
    }

    @Test
    fun `a file of another length is replaced`() {
        val model = ModelStore(stored(program, sha256(program))).model(stem)
        cache.file(model).writeBytes(ByteArray(3))
        assertContentEquals(program, cache.file(model).readBytes())
    }

    @Test
    fun `only artifacts of existing models are kept`() {
        val model = ModelStore(stored(program, sha256(program))).model(stem)
        val file = cache.file(model)
        folder.resolve("0".repeat(64)).writeText("of a model that is gone")
        folder.resolve("${sha256(program)}.part").writeText("half")
        cache.keepOnly(listOf(model))
        assertEquals(listOf(file.name), names())
        cache.keepOnly(emptyList())
        assertFalse(file.exists())
    }
}

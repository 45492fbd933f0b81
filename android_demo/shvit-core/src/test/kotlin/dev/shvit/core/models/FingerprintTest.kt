package dev.shvit.core.models

import dev.shvit.core.Shared
import dev.shvit.core.documents.Manifest
import java.io.IOException
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotNull

class FingerprintTest {
    private val stem = "shvit_s1-64-executorch-fp32"

    @Test
    fun `a folder's digest equals the one that Python wrote`() {
        val text = Shared.fixtures.resolve("goldens/$stem.manifest.json").readText()
        val goldens = assertNotNull(Manifest.read(text, "manifest").goldens)
        assertEquals(goldens.sha256, sha256(FolderFiles(Shared.fixtures.resolve("goldens")), goldens.name))
    }

    /** Expected: `shvit_mobile.fingerprints.sha256` of the same folder. */
    @Test
    fun `nested folders and unusual names are sorted as in Python`() {
        val root = Shared.work("fingerprint")
        val names = listOf("a.txt", "a/b", "a/c/d", "A", "\uFF21.txt", "\uD83D\uDE00.txt", "b/ä", "a-/x")
        for (name in names) root.resolve("tree/$name").run {
            parentFile.mkdirs()
            writeText("content of $name")
        }
        assertEquals(
            "a212b6aa86586e4a322bbc9e8912c81f6101d3bc5fc7c179c4df63efe091ffa1",
            sha256(FolderFiles(root), "tree"),
        )
    }

    @Test
    fun `a file's digest is that of its bytes`() {
        val root = Shared.work("fingerprint-file")
        root.resolve("file").writeBytes(ByteArray(200_000) { it.toByte() })
        assertEquals(sha256(ByteArray(200_000) { it.toByte() }), sha256(FolderFiles(root), "file"))
        assertEquals("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", sha256("abc".toByteArray()))
    }

    @Test
    fun `a missing file is an error`() {
        assertFailsWith<IOException> { sha256(FolderFiles(Shared.fixtures), "nowhere") }
    }
}

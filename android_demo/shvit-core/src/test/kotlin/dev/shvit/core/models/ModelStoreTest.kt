package dev.shvit.core.models

import dev.shvit.core.Shared
import dev.shvit.core.ShvitException.ArtifactChanged
import dev.shvit.core.ShvitException.InvalidDocument
import dev.shvit.core.ShvitException.ModelNotEmbedded
import dev.shvit.core.documents.Manifest
import dev.shvit.core.images.Preprocessor
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertIs
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.junit.Assume.assumeTrue

class ModelStoreTest {
    private val stem = "shvit_s1-64-executorch-fp32"
    private val source = Shared.fixtures.resolve("goldens")
    private val root = Shared.work("store")
    private val program = "a program".toByteArray()

    private fun store(artifact: ByteArray? = program): ModelStore = ModelStore(embedded(source, stem, root, artifact))

    private fun rewrite(change: (Manifest) -> Manifest) {
        val file = root.resolve("$stem/$stem.manifest.json")
        file.writeText(change(Manifest.read(file.readText(), file.name)).text())
    }

    @Test
    fun `an embedded model is listed with its goldens`() {
        val stored = store().models().single()
        val model = assertIs<Stored.Usable>(stored).model
        assertEquals(stem, stored.stem)
        assertEquals("$stem/$stem.pte", model.artifact)
        assertEquals(10, model.manifest.labels.size)
        assertEquals(3, assertNotNull(model.goldens()).goldens.images.size)
    }

    @Test
    fun `an artifact that differs from its manifest is rejected`() {
        val store = store()
        val error = assertFailsWith<ArtifactChanged> { store.model(stem).verify() }
        assertEquals("$stem/$stem.pte differs from its manifest.", error.what)
        assertEquals("Its SHA-256 begins with ${sha256(program).take(12)}, expected 8224a0af1dc4.", error.why)
        rewrite { it.copy(artifact = it.artifact.copy(sha256 = sha256(program))) }
        store.model(stem).verify()
        assertTrue(root.resolve("$stem/$stem.pte").delete())
        root.resolve("$stem/$stem.pte").mkdir()
        assertFailsWith<ArtifactChanged> { store.model(stem).verify() }
    }

    @Test
    fun `damaged goldens and those of another artifact are rejected`() {
        val store = store()
        root.resolve("$stem/$stem.goldens/0.jpg").appendBytes(byteArrayOf(0))
        assertEquals(
            "$stem/$stem.goldens differs from its manifest.",
            assertFailsWith<ArtifactChanged> { store.model(stem).goldens() }.what,
        )
        store()
        rewrite { it.copy(artifact = it.artifact.copy(sha256 = sha256(program))) }
        assertEquals(
            "$stem/$stem.goldens contains the goldens of another artifact.",
            assertFailsWith<ArtifactChanged> { store.model(stem).goldens() }.what,
        )
        rewrite { it.copy(goldens = null) }
        assertNull(store.model(stem).goldens())
    }

    @Test
    fun `an unusable model does not hide the others`() {
        val store = store()
        root.resolve("a-broken-one").mkdir()
        root.resolve("a-broken-one/a-broken-one.manifest.json").writeText("{}")
        root.resolve("an-empty-one").mkdir()
        root.resolve("b-without").mkdir()
        root.resolve("b-without/b-without.pte").writeBytes(program)
        val (broken, without, usable) = store.models()
        assertIs<InvalidDocument>(assertIs<Stored.Broken>(broken).reason)
        assertEquals("a-broken-one", broken.stem)
        assertIs<ArtifactChanged>(assertIs<Stored.Broken>(without).reason)
        assertIs<Stored.Usable>(usable)
    }

    @Test
    fun `a manifest without its artifact is an error`() {
        val error = assertFailsWith<ArtifactChanged> { store(artifact = null).model(stem) }
        assertEquals("$stem/$stem.pte does not exist.", error.what)
        assertEquals("Embed the model again: shvit-mobile embed MODEL.pte", error.hint)
    }

    @Test
    fun `a name that no model has is told apart from a damaged model`() {
        val error = assertFailsWith<ModelNotEmbedded> { store().model("shvit_s9") }
        assertEquals("Models: $stem.", error.why)
        assertFailsWith<ModelNotEmbedded> { store().model("$stem/../$stem") }
        val nowhere = ModelStore(FolderFiles(root.resolve("nowhere")))
        assertTrue(nowhere.models().isEmpty())
        assertEquals(ModelStore.noModel().what, assertFailsWith<ModelNotEmbedded> { nowhere.model(stem) }.what)
    }

    /**
     * Checks every embedded model: the JVM's pixels of the goldens' pictures must
     * be within the tolerance of Python's. With SHVIT_EMBEDDED=required, there must be at least one model.
     */
    @Test
    fun `embedded models match their manifests, and their pictures become the exporter's pixels`() {
        val models = ModelStore(FolderFiles(Shared.embedded)).models()
        if (System.getenv("SHVIT_EMBEDDED") == "required") {
            assertTrue(models.isNotEmpty(), "There is no model in ${Shared.embedded}. Try: shvit-mobile embed")
        }
        assumeTrue("no model is embedded", models.isNotEmpty())
        for (stored in models) {
            if (stored is Stored.Broken) throw stored.reason
            val model = assertIs<Stored.Usable>(stored).model
            model.verify()
            val goldens = assertNotNull(model.goldens(), "${model.stem} has no goldens")
            val pixels = Preprocessor(model.manifest.preprocessing)::pixels
            val check = goldens.check(imageIo, pixels, LookUp.of(goldens))
            println("${model.stem}: ${check.images} golden photos, ${check.pixelsDifference}/255 from Python's pixels")
            assertTrue(check.passed && check.pixelsDifference <= 1, "${model.stem}: $check")
        }
    }
}

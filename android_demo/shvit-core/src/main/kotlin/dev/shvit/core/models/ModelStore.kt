package dev.shvit.core.models

import dev.shvit.core.BadModel
import dev.shvit.core.ShvitException
import dev.shvit.core.documents.Goldens
import dev.shvit.core.documents.GoldensFolder
import dev.shvit.core.documents.Manifest
import java.io.IOException
import java.io.InputStream

/**
 * A model in its folder, as `shvit-mobile embed` puts it there.
 *
 * @property stem the folder's name, and that of the artifact without its suffix.
 */
class StoredModel internal constructor(val stem: String, val manifest: Manifest, private val files: Files) {
    /** Where the artifact is, in the store's files. */
    val artifact: String get() = "$stem/${manifest.artifact.name}"

    /**
     * Reads the artifact once and compares it with its manifest: damaged weights load and run everywhere.
     *
     * @throws BadModel it is missing, or not what its manifest says.
     */
    fun verify() = refuseOther(artifact, manifest.artifact.sha256)

    /**
     * The bytes of the artifact, to be closed by the caller.
     *
     * @throws IOException it is missing.
     */
    internal fun open(): InputStream = files.open(artifact)

    /** Refuses the artifact if this is not its SHA-256. */
    internal fun refuseOther(sha256: String) = refuseOther(artifact, manifest.artifact.sha256, sha256)

    /**
     * The goldens, compared with the manifest; null where the model came without.
     *
     * @throws ShvitException they are missing, damaged or another artifact's.
     */
    fun goldens(): GoldenFolder? = manifest.goldens?.let(::goldens)

    private fun goldens(named: GoldensFolder): GoldenFolder {
        val folder = "$stem/${named.name}"
        refuseOther(folder, named.sha256)
        val goldens = Goldens.read(readText(files, "$folder/${Goldens.FILE}"), "$folder/${Goldens.FILE}")
        if (goldens.artifactSha256 != manifest.artifact.sha256) {
            val why = "They should be those of ${manifest.artifact.name}."
            throw BadModel("$folder holds the goldens of another artifact.", why, AGAIN)
        }
        return GoldenFolder(goldens, files, folder)
    }

    private fun refuseOther(path: String, expected: String) {
        val actual = try {
            sha256(files, path)
        } catch (reason: IOException) {
            throw BadModel("$path cannot be read: ${reason.message}.", "Its manifest names it.", AGAIN)
        }
        refuseOther(path, expected, actual)
    }

    private fun refuseOther(path: String, expected: String, actual: String) {
        if (actual != expected) {
            val why = "Its SHA-256 begins with ${actual.take(DIGITS)} and should with ${expected.take(DIGITS)}."
            throw BadModel("$path is not what its manifest says.", why, AGAIN)
        }
    }

    private companion object {
        /** Of a SHA-256, as many as a person compares. */
        const val DIGITS = 12
    }
}

/** What is in one folder of a store: a model, or what is wrong with it. */
sealed interface Stored {
    val stem: String

    data class Usable(val model: StoredModel) : Stored {
        override val stem get() = model.stem
    }

    data class Broken(override val stem: String, val reason: ShvitException) : Stored
}

/** The models of an app: a folder of folders, each with an artifact, its manifest and its goldens. */
class ModelStore(private val files: Files) {
    /** What is in the store, by name; a broken model does not hide the others. */
    fun models(): List<Stored> = files.names("").sorted().filter { files.names(it).isNotEmpty() }.map { stem ->
        try {
            Stored.Usable(model(stem))
        } catch (reason: ShvitException) {
            Stored.Broken(stem, reason)
        }
    }

    /**
     * A model by the name of its folder. Its artifact is not read yet: see [StoredModel.verify].
     *
     * @throws ShvitException there is none, or its manifest cannot be read.
     */
    fun model(stem: String): StoredModel {
        val path = "$stem/$stem.manifest.json"
        val manifest = Manifest.read(readText(files, path), path)
        if (manifest.artifact.name !in files.names(stem)) {
            throw BadModel("$stem/${manifest.artifact.name} is not there.", "Its manifest names it.", AGAIN)
        }
        return StoredModel(stem, manifest, files)
    }
}

internal const val AGAIN = "Put the model into the app again: shvit-mobile embed"

private fun readText(files: Files, path: String): String = try {
    files.bytes(path).decodeToString()
} catch (reason: IOException) {
    throw BadModel("$path cannot be read: ${reason.message}.", "Every model has one in its folder.", AGAIN)
}

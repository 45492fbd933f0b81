package dev.shvit.core.models

import dev.shvit.core.ShvitException
import dev.shvit.core.ShvitException.ArtifactChanged
import dev.shvit.core.ShvitException.ModelNotEmbedded
import dev.shvit.core.documents.Goldens
import dev.shvit.core.documents.GoldensFolder
import dev.shvit.core.documents.Manifest
import java.io.IOException
import java.io.InputStream

/**
 * A model in its folder, as `shvit-mobile embed` stores it.
 *
 * @property stem The folder's name, which is the artifact's name without suffix.
 * @property manifest The artifact's manifest.
 */
class StoredModel internal constructor(val stem: String, val manifest: Manifest, private val files: Files) {
    /** The artifact's path in the store. */
    val artifact: String get() = "$stem/${manifest.artifact.name}"

    /**
     * Verifies that the artifact matches its manifest. A runtime would load and run damaged weights without an error.
     *
     * @throws ArtifactChanged If it is missing, or differs from its manifest.
     */
    fun verify() = refuseOther(artifact, manifest.artifact.sha256)

    /**
     * Opens the artifact; the caller closes it.
     *
     * @throws IOException If it is missing.
     */
    internal fun open(): InputStream = files.open(artifact)

    /** Rejects the artifact if its SHA-256 differs. */
    internal fun refuseOther(sha256: String) = refuseOther(artifact, manifest.artifact.sha256, sha256)

    /**
     * Returns the verified goldens; null if the manifest names none.
     *
     * @throws ShvitException If they are missing, damaged, or belong to another artifact.
     */
    fun goldens(): GoldenFolder? = manifest.goldens?.let(::goldens)

    private fun goldens(named: GoldensFolder): GoldenFolder {
        val folder = "$stem/${named.name}"
        refuseOther(folder, named.sha256)
        val goldens = Goldens.read(readText(files, "$folder/${Goldens.FILE}"), "$folder/${Goldens.FILE}")
        if (goldens.artifactSha256 != manifest.artifact.sha256) {
            val why = "They must belong to ${manifest.artifact.name}."
            throw ArtifactChanged("$folder contains the goldens of another artifact.", why, AGAIN)
        }
        return GoldenFolder(goldens, files, folder)
    }

    private fun refuseOther(path: String, expected: String) {
        val actual = try {
            sha256(files, path)
        } catch (reason: IOException) {
            throw ArtifactChanged("$path cannot be read: ${reason.message}.", "The manifest names this file.", AGAIN)
        }
        refuseOther(path, expected, actual)
    }

    private fun refuseOther(path: String, expected: String, actual: String) {
        if (actual != expected) {
            val why = "Its SHA-256 begins with ${actual.take(DIGITS)}, expected ${expected.take(DIGITS)}."
            throw ArtifactChanged("$path differs from its manifest.", why, AGAIN)
        }
    }

    private companion object {
        /** The number of a SHA-256's digits to show. */
        const val DIGITS = 12
    }
}

/** A folder of a store: a model, or the reason why it is unusable. */
sealed interface Stored {
    /** The name of the folder. */
    val stem: String

    /** A model whose manifest can be read. */
    data class Usable(val model: StoredModel) : Stored {
        override val stem get() = model.stem
    }

    /** A model that cannot be used, and why. */
    data class Broken(override val stem: String, val reason: ShvitException) : Stored
}

/** The models of an app: a folder with one folder per model, each with artifact, manifest and goldens. */
class ModelStore(private val files: Files) {
    /** Returns the store's models, sorted by name. An unusable model does not hide the others. */
    fun models(): List<Stored> = files.names("").sorted().filter { files.names(it).isNotEmpty() }.map { stem ->
        try {
            Stored.Usable(model(stem))
        } catch (reason: ShvitException) {
            Stored.Broken(stem, reason)
        }
    }

    /**
     * Returns the model of a folder. Does not read its artifact yet: see [StoredModel.verify].
     *
     * @throws ModelNotEmbedded If there is no such folder.
     * @throws ShvitException If its manifest cannot be read, or its artifact is missing.
     */
    fun model(stem: String): StoredModel {
        // A name with a slash would leave the store.
        if ("/" in stem || files.names(stem).isEmpty()) throw notEmbedded(stem, models().map { it.stem })
        val path = "$stem/$stem.manifest.json"
        val manifest = Manifest.read(readText(files, path), path)
        if (manifest.artifact.name !in files.names(stem)) {
            val missing = "$stem/${manifest.artifact.name}"
            throw ArtifactChanged("$missing does not exist.", "The manifest names this file.", AGAIN)
        }
        return StoredModel(stem, manifest, files)
    }

    companion object {
        /** Returns the error for an app without models. */
        fun noModel(): ModelNotEmbedded = ModelNotEmbedded(
            "This app contains no model.",
            "Models are embedded before the app is built.",
            "Embed one on your computer: shvit-mobile embed MODEL.pte --into android_demo",
        )

        /** Returns the error for a name that none of the app's models has. */
        internal fun notEmbedded(stem: String, others: List<String>): ModelNotEmbedded =
            if (others.isEmpty()) {
                noModel()
            } else {
                ModelNotEmbedded("There is no model '$stem' in this app.", "Models: ${others.joinToString()}.", AGAIN)
            }
    }
}

internal const val AGAIN = "Embed the model again: shvit-mobile embed MODEL.pte"

private fun readText(files: Files, path: String): String = try {
    files.bytes(path).decodeToString()
} catch (reason: IOException) {
    throw ArtifactChanged("$path cannot be read: ${reason.message}.", "Each model's folder contains it.", AGAIN)
}

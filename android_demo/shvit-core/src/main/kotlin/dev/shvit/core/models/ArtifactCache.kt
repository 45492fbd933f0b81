package dev.shvit.core.models

import dev.shvit.core.ShvitException.ArtifactChanged
import dev.shvit.core.ShvitException.RuntimeFailure
import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import java.io.InputStream
import java.security.DigestInputStream
import java.security.MessageDigest

/**
 * An app's artifacts as files, since runtimes map files into memory, and assets are not files.
 *
 * A file is named after the artifact's SHA-256, which is verified during the copy. Copies are atomic, so every
 * existing file has been verified. Thread-safe: in a process, one copy is made at a time.
 *
 * @property folder The cache's folder, created if needed. It must not contain anything else.
 */
class ArtifactCache(private val folder: File) {
    /**
     * Returns the file of a model's artifact. Copies and verifies it if needed.
     *
     * @throws ArtifactChanged If it is missing, or differs from its manifest.
     * @throws RuntimeFailure If it does not fit on the phone.
     */
    fun file(model: StoredModel): File = synchronized(LOCK) {
        val expected = model.manifest.artifact
        val file = folder.resolve(expected.sha256)
        if (file.length() != expected.bytes || !file.isFile) copy(model, file)
        file
    }

    /** Copies a model's artifact to a file and verifies it. */
    private fun copy(model: StoredModel, file: File) {
        folder.mkdirs()
        val part = folder.resolve("${file.name}$PART")
        try {
            val actual = model.open().use { copy(it, part) }
            model.refuseOther(actual)
            if (!part.renameTo(file)) throw IOException("${file.name} cannot be renamed")
        } catch (reason: IOException) {
            throw RuntimeFailure("${model.artifact} cannot be copied: ${reason.message}.", "The app runs a copy.", ROOM)
        } finally {
            part.delete()
        }
    }

    /** Deletes the artifacts of other models, and what an interrupted copy left. */
    fun keepOnly(models: List<StoredModel>): Unit = synchronized(LOCK) {
        val kept = models.map { it.manifest.artifact.sha256 }.toSet()
        folder.listFiles().orEmpty().filter { it.name !in kept }.forEach(File::delete)
    }

    /** Copies a stream to a file, flushes it to storage, and returns its SHA-256. */
    private fun copy(source: InputStream, to: File): String {
        val digest = MessageDigest.getInstance("SHA-256")
        FileOutputStream(to).use { target ->
            DigestInputStream(source, digest).copyTo(target)
            target.fd.sync()
        }
        return hexadecimal(digest.digest())
    }

    private companion object {
        /** Of the process: two caches may have the same folder. */
        val LOCK = Any()
        const val PART = ".part"
        const val ROOM = "Free some storage on the phone, or embed the model again: shvit-mobile embed MODEL.pte"
    }
}

package dev.shvit.core.models

import dev.shvit.core.BadModel
import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import java.io.InputStream
import java.security.DigestInputStream
import java.security.MessageDigest

/**
 * The artifacts of an app as files of its own, since a runtime maps files into memory and assets are none.
 *
 * An artifact's file is named after its SHA-256, which is checked while it is copied. It appears whole or not at all; what
 * is there has been checked. Used by one thread at a time.
 *
 * @property folder which holds nothing else; made if need be.
 */
class ArtifactCache(private val folder: File) {
    /**
     * The file of a model's artifact, copied and checked if it is not there.
     *
     * @throws BadModel it is missing, not what its manifest says, or there is no room for it.
     */
    fun file(model: StoredModel): File {
        val expected = model.manifest.artifact
        val file = folder.resolve(expected.sha256)
        if (file.length() == expected.bytes && file.isFile) return file
        folder.mkdirs()
        val part = File(folder, "${expected.sha256}$PART")
        try {
            val actual = model.open().use { copied(it, part) }
            model.refuseOther(actual)
            if (!part.renameTo(file)) throw IOException("${file.name} cannot be renamed")
        } catch (reason: IOException) {
            throw BadModel("${model.artifact} cannot be copied: ${reason.message}.", "It is run from a copy.", ROOM)
        } finally {
            part.delete()
        }
        return file
    }

    /** Deletes the artifacts of models that are no longer there, and what an interrupted copy has left. */
    fun keepOnly(models: List<StoredModel>) {
        val kept = models.map { it.manifest.artifact.sha256 }.toSet()
        folder.listFiles().orEmpty().filter { it.name !in kept }.forEach(File::delete)
    }

    /** Copies a stream to a file, onto the disk, and returns its SHA-256. */
    private fun copied(source: InputStream, to: File): String {
        val digest = MessageDigest.getInstance("SHA-256")
        FileOutputStream(to).use { target ->
            DigestInputStream(source, digest).copyTo(target)
            target.fd.sync()
        }
        return hexadecimal(digest.digest())
    }

    private companion object {
        const val PART = ".part"
        const val ROOM = "Make room on the phone, or put the model into the app again: shvit-mobile embed"
    }
}

package dev.shvit.core.models

import java.io.IOException
import java.security.MessageDigest

/**
 * Returns the SHA-256 of a file, or of a folder: over its files' relative names, lengths and bytes, sorted by name, as
 * in Python.
 *
 * @return 64 hexadecimal digits.
 * @throws IOException If [path] does not exist, or cannot be read.
 */
fun sha256(files: Files, path: String): String {
    val digest = MessageDigest.getInstance("SHA-256")
    if (files.names(path).isEmpty()) digest.addFile(files, path) else digest.addFolder(files, path, "")
    return hexadecimal(digest.digest())
}

/** Returns the SHA-256 of bytes, in 64 hexadecimal digits. */
fun sha256(bytes: ByteArray): String = hexadecimal(MessageDigest.getInstance("SHA-256").digest(bytes))

private fun MessageDigest.addFile(files: Files, path: String) {
    val buffer = ByteArray(1 shl 16)
    files.open(path).use { stream ->
        while (true) {
            val count = stream.read(buffer)
            if (count < 0) break
            update(buffer, 0, count)
        }
    }
}

/** Adds the files of a folder; [inside] is its path in the hashed folder, with a slash at its end. */
private fun MessageDigest.addFolder(files: Files, folder: String, inside: String) {
    for (name in files.names(folder).sortedWith(BY_CODE_POINT)) {
        val path = "$folder/$name"
        if (files.names(path).isEmpty()) {
            val bytes = files.bytes(path)
            update("$inside$name\u0000${bytes.size}\u0000".toByteArray())
            update(bytes)
        } else {
            addFolder(files, path, "$inside$name/")
        }
    }
}

/** Python's order of texts, by code points. Java's differs above U+FFFF; UTF-8 bytes have the order of code points. */
private val BY_CODE_POINT = Comparator<String> { first, second ->
    val (one, other) = first.toByteArray() to second.toByteArray()
    val differs = (0 until minOf(one.size, other.size)).firstOrNull { one[it] != other[it] }
    if (differs == null) one.size - other.size else (one[differs].toInt() and 0xFF) - (other[differs].toInt() and 0xFF)
}

internal fun hexadecimal(bytes: ByteArray): String = bytes.joinToString("") { "%02x".format(it) }

package dev.shvit.core.models

import java.io.File
import java.io.IOException
import java.io.InputStream

/** The files of models. An interface, since an Android app's assets are not files. Paths are relative, with slashes. */
interface Files {
    /** Returns the names in a folder, in any order; none if it does not exist or is a file. */
    fun names(folder: String): List<String>

    /**
     * Opens a file; the caller closes it.
     *
     * @throws IOException If it does not exist.
     */
    fun open(file: String): InputStream
}

/** The files in a folder. */
class FolderFiles(private val root: File) : Files {
    override fun names(folder: String): List<String> = root.resolve(folder).list().orEmpty().toList()

    override fun open(file: String): InputStream = root.resolve(file).inputStream()
}

internal fun Files.bytes(file: String): ByteArray = open(file).use(InputStream::readBytes)

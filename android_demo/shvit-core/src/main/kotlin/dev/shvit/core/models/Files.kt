package dev.shvit.core.models

import java.io.File
import java.io.IOException
import java.io.InputStream

/** Where models lie; an interface since an Android app's assets are no files. Paths are relative, with slashes. */
interface Files {
    /** The names in a folder, in any order; none where there is no such folder, or where it is a file. */
    fun names(folder: String): List<String>

    /**
     * The bytes of a file, to be closed by the caller.
     *
     * @throws IOException there is no such file.
     */
    fun open(file: String): InputStream
}

/** The files under a folder. */
class FolderFiles(private val root: File) : Files {
    override fun names(folder: String): List<String> = root.resolve(folder).list().orEmpty().toList()

    override fun open(file: String): InputStream = root.resolve(file).inputStream()
}

internal fun Files.bytes(file: String): ByteArray = open(file).use(InputStream::readBytes)

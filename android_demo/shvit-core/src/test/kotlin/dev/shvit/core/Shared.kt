package dev.shvit.core

import dev.shvit.core.json.Fields
import dev.shvit.core.json.Json
import dev.shvit.core.json.Reading
import java.io.File

/** The files that the tests in Python, Swift and Kotlin share, and a folder for temporary files. */
object Shared {
    private val repository = property("shvit.repository")

    val vectors: File = repository.resolve("schemas/vectors")
    val fixtures: File = repository.resolve("schemas/fixtures")
    val schemas: File = repository.resolve("schemas")

    /** The folder of the app's models. */
    val embedded: File = repository.resolve("android_demo/app/src/main/assets/models")

    /** An empty folder. */
    fun work(name: String): File = property("shvit.work").resolve(name).also {
        it.deleteRecursively()
        it.mkdirs()
    }

    private fun property(name: String) = File(checkNotNull(System.getProperty(name)) { "$name is not set" })

    /** Returns the fields of any JSON file, not only of a document. */
    internal fun fields(file: File): Fields {
        val json = Json.parse(file.readText()) as Json.Object
        return Fields(json.fields, "", Reading(file.name, "a list of cases", newer = true))
    }
}

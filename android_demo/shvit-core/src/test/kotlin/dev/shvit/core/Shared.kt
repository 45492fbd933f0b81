package dev.shvit.core

import dev.shvit.core.json.Fields
import dev.shvit.core.json.Json
import dev.shvit.core.json.Reading
import java.io.File

/** The files that the tests in Python, Swift and Kotlin share. */
object Shared {
    private val repository = File(checkNotNull(System.getProperty("shvit.repository")) { "shvit.repository is not set" })

    val vectors: File = repository.resolve("schemas/vectors")
    val fixtures: File = repository.resolve("schemas/fixtures")
    val schemas: File = repository.resolve("schemas")

    /** A JSON file that is no document of ours, so that it may hold anything. */
    fun fields(file: File): Fields {
        val json = Json.parse(file.readText()) as Json.Object
        return Fields(json.fields, "", Reading(file.name, "a list of cases", newer = true))
    }
}

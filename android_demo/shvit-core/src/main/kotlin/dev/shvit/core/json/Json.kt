package dev.shvit.core.json

/**
 * A JSON value. The project has its own parser because Android's `org.json` is not in the JVM's class library, behaves
 * differently in unit tests, and accepts texts that are not JSON.
 */
sealed interface Json {
    /** The fields are in the order of the text. */
    data class Object(val fields: Map<String, Json>) : Json

    data class Array(val items: List<Json>) : Json

    data class Text(val value: String) : Json

    /** The literal is kept, so that passing a number on loses nothing. */
    data class Number(val literal: String) : Json

    data class Flag(val value: Boolean) : Json

    data object Null : Json

    companion object {
        /** Parses JSON strictly; a duplicate name in an object is an error. */
        fun parse(text: String): Json = JsonReader(text).read()
    }
}

/** The text is not JSON: the line, counted from 1, and the problem there. */
class NotJson(val line: Int, val reason: String) : Exception("line $line: $reason")

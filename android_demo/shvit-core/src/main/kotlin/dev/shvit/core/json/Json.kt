package dev.shvit.core.json

/**
 * A JSON value. The project has its own parser because Android's `org.json` is not in the JVM's class library, behaves
 * differently in unit tests, and accepts texts that are not JSON.
 */
sealed interface Json {
    /** The fields are in the order of the text. */
    data class Object(val fields: Map<String, Json>) : Json

    /** The items are in the order of the text. */
    data class Array(val items: List<Json>) : Json

    /** A text without its quotes and escapes. */
    data class Text(val value: String) : Json

    /** The literal is kept, so that passing a number on loses nothing. */
    data class Number(val literal: String) : Json

    /** `true` or `false`. */
    data class Flag(val value: Boolean) : Json

    /** `null`. */
    data object Null : Json

    companion object {
        /** Parses JSON strictly; a duplicate name in an object is an error. */
        fun parse(text: String): Json = JsonReader(text).read()
    }
}

/** The text is not JSON: the line, counted from 1, and the problem there. */
class NotJson(val line: Int, val reason: String) : Exception("line $line: $reason")

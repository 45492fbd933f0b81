package dev.shvit.core.json

/**
 * A JSON value. Own and small, because what Android carries (`org.json`) is not in the JVM's class library, differs
 * between the phone and its stand-ins for unit tests, and reads texts that are not JSON.
 */
sealed interface Json {
    /** In the order of the text. */
    data class Object(val fields: Map<String, Json>) : Json

    data class Array(val items: List<Json>) : Json

    data class Text(val value: String) : Json

    /** As it stood in the text, so that nothing is lost of a number that is only passed on. */
    data class Number(val literal: String) : Json

    data class Flag(val value: Boolean) : Json

    data object Null : Json

    companion object {
        /** A text that is JSON, nothing else; a name given twice in an object is refused. */
        fun parse(text: String): Json = JsonReader(text).read()
    }
}

/** Where a text is not JSON: the line, counted from 1, and what is wrong there. */
class NotJson(val line: Int, val reason: String) : Exception("line $line: $reason")

package dev.shvit.core.json

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class JsonTest {
    @Test
    fun `texts keep every character`() {
        val text = "quote \" backslash \\ newline \n return \r tab \t bell \u0007 ä € \uD83D\uDE00"
        assertEquals(Json.Text(text), Json.parse(Json.Text(text).text()))
    }

    @Test
    fun `escapes are parsed`() {
        assertEquals(Json.Text("\"\\/\b\u000C\n\r\tä"), Json.parse("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\""))
    }

    @Test
    fun `numbers keep their digits`() {
        val literals = listOf("0", "-0.0", "1.50", "12345678901234567890", "1e-05", "2E+3")
        assertEquals(Json.Array(literals.map(Json::Number)), Json.parse(literals.toString()))
    }

    @Test
    fun `objects are written one field per line, in order`() {
        val json = Json.parse("{\"b\":[true,false,null],\"a\":{},\"c\":[]}")
        assertEquals("{\n \"b\": [\n  true,\n  false,\n  null\n ],\n \"a\": {},\n \"c\": []\n}\n", json.text())
    }

    @Test
    fun `infinite numbers and NaN are written as text`() {
        assertEquals("Infinity", (json(Double.POSITIVE_INFINITY) as Json.Text).value)
        assertEquals("-Infinity", (json(Double.NEGATIVE_INFINITY) as Json.Text).value)
        assertEquals("NaN", (json(Double.NaN) as Json.Text).value)
    }

    @Test
    fun `invalid JSON is rejected with its line`() {
        val faults = mapOf(
            "" to "line 1: it ends too early",
            "{\"a\": 1" to "line 1: it ends too early",
            "{\n\"a\": 1,\n\"a\": 2}" to "line 3: duplicate name 'a'",
            "[1,]" to "line 1: a value is expected",
            "[1 2]" to "line 1: ']' is expected",
            "{a: 1}" to "line 1: a name in quotes is expected",
            "{\"a\" 1}" to "line 1: ':' is expected",
            "NaN" to "line 1: a value is expected",
            "nul" to "line 1: a value is expected",
            "01" to "line 1: text after the end",
            "\"\\x\"" to "line 1: '\\x' is not an escape",
            "\"\\u12g4\"" to "line 1: '\\u12g4' is not an escape",
            "\"\\u1" to "line 1: '\\u1' is not an escape",
            "\"a\nb\"" to "line 2: a text contains a control character",
            "[".repeat(100_000) to "line 1: it is nested more than 64 deep",
        )
        for ((text, message) in faults) {
            assertEquals(message, assertFailsWith<NotJson>(text.take(20)) { Json.parse(text) }.message)
        }
    }
}

package dev.shvit.core.json

import dev.shvit.core.ShvitException.InvalidDocument
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull

class FieldsTest {
    private fun fields(text: String, newer: Boolean = false) =
        Fields((Json.parse(text) as Json.Object).fields, "", Reading("a.json", "a list", newer))

    private fun refusal(text: String, read: (Fields) -> Unit): String =
        assertFailsWith<InvalidDocument> { read(fields(text)) }.what.removePrefix("a.json is not a list: ")

    @Test
    fun `figures may be infinite or NaN`() {
        val figures = fields("{\"a\": \"Infinity\", \"b\": \"-Infinity\", \"c\": \"NaN\", \"d\": 1.5}")
        assertEquals(
            listOf(Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY, Double.NaN, 1.5),
            listOf("a", "b", "c", "d").map(figures::figure),
        )
    }

    @Test
    fun `whole numbers may be written as fractions`() {
        assertEquals(8, fields("{\"a\": 8.0}").count("a"))
        assertEquals(1_200_000_000_000, fields("{\"a\": 1.2e12}").whole("a"))
    }

    @Test
    fun `a missing or null field has its default`() {
        val fields = fields("{\"a\": null}")
        assertNull(fields.textOrNull("a"))
        assertNull(fields.flagOrNull("b"))
        assertEquals(7, fields.orElse("c", 7) { 8 })
    }

    @Test
    fun `an error names the field's path`() {
        assertEquals("a: this field is missing.", refusal("{}") { it.text("a") })
        assertEquals("a: a text is expected.", refusal("{\"a\": 1}") { it.text("a") })
        assertEquals("a: true or false is expected.", refusal("{\"a\": 1}") { it.flag("a") })
        assertEquals("a: a number is expected.", refusal("{\"a\": \"NaN\"}") { it.number("a") })
        assertEquals("a: 1e999 is too large a number.", refusal("{\"a\": 1e999}") { it.number("a") })
        assertEquals("a: a whole number is expected.", refusal("{\"a\": \"8\"}") { it.whole("a") })
        assertEquals("a: 8.5 is not a whole number of 64 bits.", refusal("{\"a\": 8.5}") { it.whole("a") })
        assertEquals("a: 3000000000 is too large a number.", refusal("{\"a\": 3000000000}") { it.count("a") })
        assertEquals("a: -1 is below 0.", refusal("{\"a\": -1}") { it.count("a") })
        assertEquals("a: a list is expected.", refusal("{\"a\": {}}") { it.numbers("a") })
        val child = { fields: Fields -> fields.child("a") { inner -> check(inner.text("b").isEmpty()) } }
        assertEquals("a: an object is expected.", refusal("{\"a\": []}", child))
        assertEquals("a.b: a text is expected.", refusal("{\"a\": {\"b\": 1}}", child))
        val second = refusal("{\"a\": [{}, {\"b\": 1}]}") { it.children("a", Fields::unknown) }
        assertEquals("a.1.b: unknown field.", second)
    }

    @Test
    fun `unknown fields are kept only in a newer version`() {
        val newer = fields("{\"a\": 1, \"b\": 2}", newer = true)
        newer.whole("a")
        assertEquals(mapOf<String, Json>("b" to Json.Number("2")), newer.unknown())
        assertFailsWith<InvalidDocument> { newer.close() }
        assertEquals("b: unknown field.", refusal("{\"b\": 2}") { it.unknown() })
    }
}

package dev.shvit.core.json

/** Parses a JSON text after RFC 8259. */
internal class JsonReader(private val text: String) {
    private var place = 0
    private var depth = 0

    fun read(): Json {
        val value = value()
        skipSpace()
        if (place < text.length) fail("text after the end")
        return value
    }

    private fun value(): Json {
        skipSpace()
        return when (peek()) {
            '{' -> nested(::fields)
            '[' -> nested(::items)
            '"' -> Json.Text(string())
            't' -> word("true", Json.Flag(true))
            'f' -> word("false", Json.Flag(false))
            'n' -> word("null", Json.Null)
            else -> number()
        }
    }

    /** Limits the depth, so that a file of brackets cannot exhaust the stack. */
    private fun nested(read: () -> Json): Json {
        if (++depth > DEEPEST) fail("it is nested more than $DEEPEST deep")
        place++
        return read().also { depth-- }
    }

    private fun fields(): Json {
        val fields = LinkedHashMap<String, Json>()
        separated('}') {
            if (peek() != '"') fail("a name in quotes is expected")
            val name = string()
            if (name in fields) fail("duplicate name '$name'")
            skipSpace()
            expect(':')
            fields[name] = value()
        }
        return Json.Object(fields)
    }

    private fun items(): Json {
        val items = ArrayList<Json>()
        separated(']') { items += value() }
        return Json.Array(items)
    }

    private fun separated(end: Char, item: () -> Unit) {
        skipSpace()
        if (peek() != end) {
            while (true) {
                skipSpace()
                item()
                skipSpace()
                if (peek() != ',') break
                place++
            }
        }
        expect(end)
    }

    private fun string(): String {
        expect('"')
        val value = StringBuilder()
        while (true) {
            when (val char = next()) {
                '"' -> return value.toString()
                '\\' -> value.append(escaped())
                else -> if (char < ' ') fail("a text contains a control character") else value.append(char)
            }
        }
    }

    private fun escaped(): Char = when (val char = next()) {
        '"', '\\', '/' -> char
        'b' -> '\b'
        'f' -> '\u000C'
        'n' -> '\n'
        'r' -> '\r'
        't' -> '\t'
        'u' -> codeUnit()
        else -> fail("'\\$char' is not an escape")
    }

    private fun codeUnit(): Char {
        val digits = text.substring(place, minOf(place + HEX_DIGITS, text.length))
        if (digits.length < HEX_DIGITS || !digits.all { it in HEX }) fail("'\\u$digits' is not an escape")
        place += HEX_DIGITS
        return digits.toInt(radix = 16).toChar()
    }

    private fun number(): Json {
        val found = NUMBER.find(text, place)
        if (found == null || found.range.first != place) fail("a value is expected")
        place = found.range.last + 1
        return Json.Number(found.value)
    }

    private fun word(word: String, value: Json): Json {
        if (!text.startsWith(word, place)) fail("a value is expected")
        place += word.length
        return value
    }

    private fun skipSpace() {
        while (place < text.length && text[place] in SPACE) place++
    }

    private fun peek(): Char = if (place < text.length) text[place] else fail("it ends too early")

    private fun next(): Char = peek().also { place++ }

    private fun expect(char: Char) {
        if (peek() != char) fail("'$char' is expected")
        place++
    }

    private fun fail(reason: String): Nothing =
        throw NotJson(1 + text.substring(0, minOf(place, text.length)).count { it == '\n' }, reason)

    private companion object {
        const val DEEPEST = 64
        const val HEX_DIGITS = 4
        const val HEX = "0123456789abcdefABCDEF"
        const val SPACE = " \t\r\n"
        val NUMBER = Regex("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?")
    }
}

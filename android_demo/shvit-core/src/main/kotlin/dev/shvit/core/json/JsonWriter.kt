package dev.shvit.core.json

/** Returns the JSON text, indented by one space per level and with a newline at the end, as the exporter writes it. */
fun Json.text(): String = StringBuilder().also { it.append(this, level = 0) }.append('\n').toString()

private fun StringBuilder.append(json: Json, level: Int) {
    when (json) {
        is Json.Object -> lines('{', json.fields.entries, '}', level) { (name, value) ->
            quoted(name).append(": ")
            append(value, level + 1)
        }
        is Json.Array -> lines('[', json.items, ']', level) { append(it, level + 1) }
        is Json.Text -> quoted(json.value)
        is Json.Number -> append(json.literal)
        is Json.Flag -> append(json.value)
        Json.Null -> append("null")
    }
}

private fun <T> StringBuilder.lines(open: Char, items: Collection<T>, close: Char, level: Int, item: (T) -> Unit) {
    append(open)
    items.forEachIndexed { index, value ->
        append(if (index == 0) "\n" else ",\n").append(" ".repeat(level + 1))
        item(value)
    }
    if (items.isNotEmpty()) append('\n').append(" ".repeat(level))
    append(close)
}

private fun StringBuilder.quoted(text: String): StringBuilder {
    append('"')
    for (char in text) {
        when (char) {
            '"', '\\' -> append('\\').append(char)
            '\n' -> append("\\n")
            '\r' -> append("\\r")
            '\t' -> append("\\t")
            else -> if (needsEscape(char)) append("\\u%04x".format(char.code)) else append(char)
        }
    }
    return append('"')
}

/**
 * Whether a character must be escaped: control characters, and surrogates, which UTF-8 cannot hold alone. Pairs are
 * escaped too.
 */
private fun needsEscape(char: Char): Boolean = char < ' ' || char.isSurrogate()

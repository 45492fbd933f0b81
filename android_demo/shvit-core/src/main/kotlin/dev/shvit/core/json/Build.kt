package dev.shvit.core.json

/** Returns an object with the known fields, of which null is left out, followed by the unknown ones that were read. */
internal fun jsonObject(vararg fields: Pair<String, Json>?, unknown: Map<String, Json> = emptyMap()): Json.Object =
    Json.Object(linkedMapOf(*fields.filterNotNull().toTypedArray()) + unknown)

internal fun json(text: String?): Json = if (text == null) Json.Null else Json.Text(text)

internal fun json(flag: Boolean?): Json = if (flag == null) Json.Null else Json.Flag(flag)

internal fun json(whole: Int?): Json = json(whole?.toLong())

internal fun json(whole: Long?): Json = if (whole == null) Json.Null else Json.Number(whole.toString())

/** Returns a number, or the text for an infinite one or NaN, which JSON does not have. */
internal fun json(number: Double?): Json = when {
    number == null -> Json.Null
    number.isFinite() -> Json.Number(number.toString())
    else -> Json.Text(number.toString())
}

internal fun <T> json(items: List<T>, item: (T) -> Json): Json = Json.Array(items.map(item))

internal fun <T> json(map: Map<String, T>, value: (T) -> Json): Json = Json.Object(map.mapValues { value(it.value) })

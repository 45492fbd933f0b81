package dev.shvit.core.json

/** An object of known fields, followed by those that were unknown when it was read. */
internal fun jsonObject(vararg fields: Pair<String, Json>, unknown: Map<String, Json> = emptyMap()): Json.Object =
    Json.Object(linkedMapOf(*fields) + unknown)

internal fun json(text: String?): Json = if (text == null) Json.Null else Json.Text(text)

internal fun json(flag: Boolean?): Json = if (flag == null) Json.Null else Json.Flag(flag)

internal fun json(whole: Int?): Json = json(whole?.toLong())

internal fun json(whole: Long?): Json = if (whole == null) Json.Null else Json.Number(whole.toString())

/** A number, or, since JSON has none for it, the text that stands for an infinite one or for none at all. */
internal fun json(number: Double?): Json = when {
    number == null -> Json.Null
    number.isFinite() -> Json.Number(number.toString())
    else -> Json.Text(number.toString())
}

internal fun <T> json(items: List<T>, item: (T) -> Json): Json = Json.Array(items.map(item))

internal fun <T> json(map: Map<String, T>, value: (T) -> Json): Json = Json.Object(map.mapValues { value(it.value) })

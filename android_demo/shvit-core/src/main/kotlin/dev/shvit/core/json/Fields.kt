package dev.shvit.core.json

import dev.shvit.core.BadDocument
import java.math.BigDecimal

/**
 * The fields of one object of a document, asked for by name and checked; what nobody asked for is left over.
 *
 * @param fields as they stand in the document.
 * @param place of the object in the document, for the words of an error; empty for the document itself.
 * @param reading which document this is, and whether it may hold unknown fields.
 */
class Fields internal constructor(
    private val fields: Map<String, Json>,
    private val place: String,
    private val reading: Reading,
) {
    private val asked = LinkedHashSet<String>()

    /** The names that were asked for so far. */
    internal val names: Set<String> get() = asked

    /**
     * The fields that nobody asked for, for the document to keep.
     *
     * @throws BadDocument there are some, and the document is not of a newer version that may have added them.
     */
    fun unknown(): Map<String, Json> {
        if (!reading.newer) close()
        return fields.filterKeys { it !in asked }
    }

    /** Refuses the document, of whatever version, if there are fields that nobody asked for. */
    fun close() {
        val first = fields.keys.firstOrNull { it !in asked }
        if (first != null) fail(first, "there is no such field")
    }

    /** A field that may be missing or null, and then has a default. */
    fun <T> orElse(name: String, default: T, read: (String) -> T): T =
        if (optional(name) == null) default else read(name)

    fun text(name: String): String = string(name, required(name))

    fun textOrNull(name: String): String? = optional(name)?.let { string(name, it) }

    /** A text of 64 hexadecimal digits. */
    fun sha256(name: String): String = hash(name, required(name))

    fun sha256OrNull(name: String): String? = optional(name)?.let { hash(name, it) }

    fun flag(name: String): Boolean = truth(name, required(name))

    fun flagOrNull(name: String): Boolean? = optional(name)?.let { truth(name, it) }

    fun whole(name: String, least: Long = Long.MIN_VALUE): Long = integer(name, required(name), least)

    fun wholeOrNull(name: String, least: Long = Long.MIN_VALUE): Long? =
        optional(name)?.let { integer(name, it, least) }

    /** A whole number that fits in 32 bits. */
    fun count(name: String, least: Int = 0): Int = small(name, whole(name, least.toLong()))

    fun countOrNull(name: String, least: Int = 0): Int? = wholeOrNull(name, least.toLong())?.let { small(name, it) }

    /** A finite number. */
    fun number(name: String, range: ClosedRange<Double> = ANY): Double = finite(name, required(name), range)

    fun numberOrNull(name: String, range: ClosedRange<Double> = ANY): Double? =
        optional(name)?.let { finite(name, it, range) }

    /** A number that may be infinite or none at all, which JSON has as a text. */
    fun figure(name: String): Double = when (val json = required(name)) {
        Json.Text("Infinity") -> Double.POSITIVE_INFINITY
        Json.Text("-Infinity") -> Double.NEGATIVE_INFINITY
        Json.Text("NaN") -> Double.NaN
        else -> finite(name, json, ANY)
    }

    fun numbers(name: String, range: ClosedRange<Double> = ANY): List<Double> =
        each(name, required(name)) { place, json -> finite(place, json, range) }

    /** Lists of numbers, such as samples by round. */
    fun numberLists(name: String, range: ClosedRange<Double> = ANY): List<List<Double>> =
        each(name, required(name)) { place, list -> each(place, list) { inner, json -> finite(inner, json, range) } }

    fun texts(name: String): List<String> = each(name, required(name), ::string)

    fun counts(name: String, least: Int = 0): List<Int> =
        each(name, required(name)) { place, json -> small(place, integer(place, json, least.toLong())) }

    fun <T> child(name: String, read: (Fields) -> T): T = read(inner(name, required(name)))

    fun <T> childOrNull(name: String, read: (Fields) -> T): T? = optional(name)?.let { read(inner(name, it)) }

    fun <T> children(name: String, read: (Fields) -> T): List<T> =
        each(name, required(name)) { place, json -> read(inner(place, json)) }

    /** As [children], of which there has to be one. */
    fun <T> someChildren(name: String, read: (Fields) -> T): List<T> =
        children(name, read).ifEmpty { fail(name, "at least one is expected") }

    /** An object whose names are not known beforehand. */
    fun <T> map(name: String, value: (Fields, String) -> T): Map<String, T> {
        val inner = inner(name, required(name))
        return inner.fields.keys.associateWith { value(inner, it) }
    }

    /** An object as it stands. */
    fun tree(name: String): Json.Object = Json.Object(inner(name, required(name)).fields)

    /** Refuses the document for one of its fields. */
    fun fail(name: String, reason: String): Nothing = reading.refuse("${inside(name)}: $reason")

    /** Refuses the document for this object as a whole. */
    fun refuse(reason: String): Nothing = reading.refuse(if (place.isEmpty()) reason else "$place: $reason")

    private fun required(name: String): Json {
        asked += name
        return fields[name] ?: fail(name, "this field is missing")
    }

    private fun optional(name: String): Json? {
        asked += name
        return fields[name]?.takeIf { it != Json.Null }
    }

    private fun inner(name: String, json: Json): Fields = Fields(
        (json as? Json.Object ?: fail(name, "an object is expected")).fields,
        inside(name),
        reading,
    )

    private fun inside(name: String): String = if (place.isEmpty()) name else "$place.$name"

    private fun <T> each(name: String, json: Json, read: (String, Json) -> T): List<T> {
        val items = (json as? Json.Array ?: fail(name, "a list is expected")).items
        return items.mapIndexed { index, item -> read("$name.$index", item) }
    }

    private fun string(name: String, json: Json): String =
        (json as? Json.Text ?: fail(name, "a text is expected")).value

    private fun truth(name: String, json: Json): Boolean =
        (json as? Json.Flag ?: fail(name, "true or false is expected")).value

    private fun hash(name: String, json: Json): String =
        string(name, json).also { if (!SHA256.matches(it)) fail(name, "64 hexadecimal digits are expected") }

    private fun finite(name: String, json: Json, range: ClosedRange<Double>): Double {
        val value = (json as? Json.Number ?: fail(name, "a number is expected")).literal.toDouble()
        if (value.isInfinite()) fail(name, "${json.literal} is too large a number")
        if (value < range.start) fail(name, "$value is below ${range.start}")
        if (value > range.endInclusive) fail(name, "$value is above ${range.endInclusive}")
        return value
    }

    private fun integer(name: String, json: Json, least: Long): Long {
        val literal = (json as? Json.Number ?: fail(name, "a whole number is expected")).literal
        val value = try {
            BigDecimal(literal).longValueExact()
        } catch (_: ArithmeticException) {
            fail(name, "$literal is not a whole number of 64 bits")
        }
        if (value < least) fail(name, "$value is below $least")
        return value
    }

    private fun small(name: String, value: Long): Int =
        if (value in Int.MIN_VALUE..Int.MAX_VALUE) value.toInt() else fail(name, "$value is too large a number")

    companion object {
        /** Every finite number. */
        val ANY: ClosedRange<Double> = -Double.MAX_VALUE..Double.MAX_VALUE

        /** Every finite number that is not negative. */
        val POSITIVE: ClosedRange<Double> = 0.0..Double.MAX_VALUE

        /** A share. */
        val SHARE: ClosedRange<Double> = 0.0..1.0

        private val SHA256 = Regex("[0-9a-f]{64}")
    }
}

/**
 * A document that is being read.
 *
 * @property source where it came from, for the words of an error.
 * @property kind what it should be, with its article: "a manifest".
 * @property newer whether a newer minor version wrote it, which may have added fields.
 */
internal class Reading(val source: String, val kind: String, val newer: Boolean) {
    fun refuse(reason: String): Nothing =
        throw BadDocument("$source is not $kind: $reason.", "It may be damaged or hand-made.")
}

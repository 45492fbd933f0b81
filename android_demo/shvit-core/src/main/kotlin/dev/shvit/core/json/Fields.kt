package dev.shvit.core.json

import dev.shvit.core.ShvitException.InvalidDocument
import java.math.BigDecimal

/**
 * The fields of an object in a document, read by name and checked. Fields that nobody reads are unknown.
 *
 * @param fields The fields of the object.
 * @param place The object's path in the document, for errors; empty for the document itself.
 * @param reading The document, and whether it may contain unknown fields.
 */
internal class Fields internal constructor(
    private val fields: Map<String, Json>,
    private val place: String,
    private val reading: Reading,
) {
    private val asked = LinkedHashSet<String>()

    /** The names that have been read so far. */
    val names: Set<String> get() = asked

    /**
     * Returns the fields that nobody read, for the document to keep.
     *
     * @throws InvalidDocument If there are some, unless the document has a newer version that may have added them.
     */
    fun unknown(): Map<String, Json> {
        if (!reading.newer) close()
        return fields.filterKeys { it !in asked }
    }

    /** Rejects the document, whatever its version, if there are unknown fields. */
    fun close() {
        val first = fields.keys.firstOrNull { it !in asked }
        if (first != null) fail(first, "unknown field")
    }

    /** Reads a field that may be missing or null and then has a default. */
    fun <T> orElse(name: String, default: T, read: (String) -> T): T =
        if (optional(name) == null) default else read(name)

    fun text(name: String): String = string(name, required(name))

    fun textOrNull(name: String): String? = optional(name)?.let { string(name, it) }

    /** Reads a text of 64 hexadecimal digits. */
    fun sha256(name: String): String = hash(name, required(name))

    fun sha256OrNull(name: String): String? = optional(name)?.let { hash(name, it) }

    fun flag(name: String): Boolean = truth(name, required(name))

    fun flagOrNull(name: String): Boolean? = optional(name)?.let { truth(name, it) }

    fun whole(name: String, least: Long = Long.MIN_VALUE): Long = integer(name, required(name), least)

    fun wholeOrNull(name: String, least: Long = Long.MIN_VALUE): Long? =
        optional(name)?.let { integer(name, it, least) }

    /** Reads a whole number of 32 bits. */
    fun count(name: String, least: Int = 0): Int = small(name, whole(name, least.toLong()))

    fun countOrNull(name: String, least: Int = 0): Int? = wholeOrNull(name, least.toLong())?.let { small(name, it) }

    /** Reads a finite number. */
    fun number(name: String, range: ClosedRange<Double> = ANY): Double = finite(name, required(name), range)

    fun numberOrNull(name: String, range: ClosedRange<Double> = ANY): Double? =
        optional(name)?.let { finite(name, it, range) }

    /** Reads a number that may be infinite or NaN, which JSON holds as text. */
    fun figure(name: String): Double = when (val json = required(name)) {
        Json.Text("Infinity") -> Double.POSITIVE_INFINITY
        Json.Text("-Infinity") -> Double.NEGATIVE_INFINITY
        Json.Text("NaN") -> Double.NaN
        else -> finite(name, json, ANY)
    }

    fun numbers(name: String, range: ClosedRange<Double> = ANY): List<Double> =
        each(name, required(name)) { place, json -> finite(place, json, range) }

    /** Reads lists of numbers, such as samples by round. */
    fun numberLists(name: String, range: ClosedRange<Double> = ANY): List<List<Double>> =
        each(name, required(name)) { place, list -> each(place, list) { inner, json -> finite(inner, json, range) } }

    fun texts(name: String): List<String> = each(name, required(name), ::string)

    fun counts(name: String, least: Int = 0): List<Int> =
        each(name, required(name)) { place, json -> small(place, integer(place, json, least.toLong())) }

    fun <T> child(name: String, read: (Fields) -> T): T = read(inner(name, required(name)))

    fun <T> childOrNull(name: String, read: (Fields) -> T): T? = optional(name)?.let { read(inner(name, it)) }

    fun <T> children(name: String, read: (Fields) -> T): List<T> =
        each(name, required(name)) { place, json -> read(inner(place, json)) }

    /** Like [children], with at least one element. */
    fun <T> someChildren(name: String, read: (Fields) -> T): List<T> =
        children(name, read).ifEmpty { fail(name, "at least one is expected") }

    /** Reads an object with arbitrary names. */
    fun <T> map(name: String, value: (Fields, String) -> T): Map<String, T> {
        val inner = inner(name, required(name))
        return inner.fields.keys.associateWith { value(inner, it) }
    }

    /** Reads an object as JSON. */
    fun tree(name: String): Json.Object = Json.Object(inner(name, required(name)).fields)

    /** Reads a list of objects as JSON. */
    fun trees(name: String): List<Json.Object> = children(name) { Json.Object(it.fields) }

    /** Rejects the document because of one of its fields. */
    fun fail(name: String, reason: String): Nothing = reading.refuse("${inside(name)}: $reason")

    /** Rejects the document because of this object. */
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
        /** All finite numbers. */
        val ANY: ClosedRange<Double> = -Double.MAX_VALUE..Double.MAX_VALUE

        /** All finite numbers that are not negative. */
        val POSITIVE: ClosedRange<Double> = 0.0..Double.MAX_VALUE

        /** The numbers from 0 to 1. */
        val SHARE: ClosedRange<Double> = 0.0..1.0

        private val SHA256 = Regex("[0-9a-f]{64}")
    }
}

/**
 * A document that is being read.
 *
 * @property source The name of the file, for errors.
 * @property kind The expected kind with its article: "a manifest".
 * @property newer Whether the document has a newer minor version, which may have added fields.
 */
internal class Reading(val source: String, val kind: String, val newer: Boolean) {
    fun refuse(reason: String): Nothing =
        throw InvalidDocument("$source is not $kind: $reason.", "The file may be damaged or edited by hand.")
}

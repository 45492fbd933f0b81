package dev.shvit.core.documents

import dev.shvit.core.ShvitException.InvalidDocument
import dev.shvit.core.ShvitException.UnsupportedDocument
import dev.shvit.core.json.Fields
import dev.shvit.core.json.Json
import dev.shvit.core.json.NotJson
import dev.shvit.core.json.Reading

/** The version of documents that did not change since: MAJOR.MINOR. */
const val SCHEMA_VERSION = "1.0"

/**
 * Reads a document: a file with a version and a kind, which follows a schema in `schemas/`.
 *
 * A newer major version is rejected. Unknown fields of a newer minor version are kept; any other unknown field is an
 * error.
 *
 * @param text The text of the file.
 * @param source The name of the file, for errors.
 * @param kind The document's kind: "manifest".
 * @param named The kind with its article, for errors: "a manifest".
 * @param newest The version of this kind that this library writes.
 * @throws InvalidDocument If it is not JSON, or violates its schema; names the first invalid field.
 * @throws UnsupportedDocument If it has a newer major version.
 */
internal fun <T> readDocument(
    text: String,
    source: String,
    kind: String,
    named: String,
    read: (Fields) -> T,
    newest: String = SCHEMA_VERSION,
): T {
    val json = try {
        Json.parse(text)
    } catch (reason: NotJson) {
        throw InvalidDocument("$source is not $named: ${reason.message}.", "It should be JSON.")
    }
    val fields = (json as? Json.Object)?.fields 
        ?: throw InvalidDocument("$source is not $named.", "It should be an object.")
    val old = Reading(source, named, newer = false)
    val version = versionOf(Fields(fields, "", old))
    val ours = versionOf(Fields(mapOf(VERSION_FIELD to Json.Text(newest)), "", old))
    if (version.major > ours.major) {
        throw UnsupportedDocument(
            "$source is $named of version ${version.major}.${version.minor}.",
            "This app reads version ${ours.major}.x.",
            "Update the app.",
        )
    }
    return read(Fields(fields, "", Reading(source, named, version > ours)).also { it.checkKind(kind) })
}

private const val VERSION_FIELD = "schema_version"
private val VERSION = Regex("(\\d{1,9})\\.(\\d{1,9})")

private data class Version(val major: Int, val minor: Int) : Comparable<Version> {
    override fun compareTo(other: Version) = compareValuesBy(this, other, Version::major, Version::minor)
}

private fun versionOf(fields: Fields): Version {
    val text = fields.text(VERSION_FIELD)
    val match = VERSION.matchEntire(text) ?: fields.fail(VERSION_FIELD, "'$text' is not MAJOR.MINOR")
    val (major, minor) = match.destructured
    return Version(major.toInt(), minor.toInt())
}

private fun Fields.checkKind(kind: String) {
    val given = text("kind")
    if (given != kind) fail("kind", "it is '$given' and should be '$kind'")
}

/** Returns whether a document has a minor version of at least [minor] of the first major version. */
internal fun hasMinor(fields: Fields, minor: Int): Boolean = versionOf(fields) >= Version(1, minor)

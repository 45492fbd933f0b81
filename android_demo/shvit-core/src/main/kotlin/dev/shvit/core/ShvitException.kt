package dev.shvit.core

/**
 * An error that a person can fix, in three parts.
 *
 * @property what What is wrong, with the value.
 * @property why Why it matters, or what was expected; may be empty.
 * @property hint What to do next; may be empty.
 */
open class ShvitException(val what: String, val why: String = "", val hint: String = "") :
    Exception(listOf(what, why, hint).filter(String::isNotEmpty).joinToString("\n"))

/** A document that cannot be read, has a newer major version, or violates its schema. */
class BadDocument(what: String, why: String = "", hint: String = "") : ShvitException(what, why, hint)

/** A picture that cannot be used. */
class BadPicture(what: String, why: String = "", hint: String = "") : ShvitException(what, why, hint)

/** A model that is missing, damaged, or differs from its manifest. */
class BadModel(what: String, why: String = "", hint: String = "") : ShvitException(what, why, hint)

/** Invalid settings. */
class InvalidSettings(what: String, why: String = "", hint: String = "") : ShvitException(what, why, hint)

package dev.shvit.core

/**
 * What a person can mend, told in three parts.
 *
 * @property what what is wrong, with the value.
 * @property why why it matters, or what was expected; may be empty.
 * @property hint the next thing to do; may be empty.
 */
open class ShvitException(val what: String, val why: String = "", val hint: String = "") :
    Exception(listOf(what, why, hint).filter(String::isNotEmpty).joinToString("\n"))

/** A document that cannot be read, is of a newer version, or does not hold what it should. */
class BadDocument(what: String, why: String = "", hint: String = "") : ShvitException(what, why, hint)

/** A picture that cannot serve. */
class BadPicture(what: String, why: String = "", hint: String = "") : ShvitException(what, why, hint)

/** A model that is missing, damaged or not what its manifest says. */
class BadModel(what: String, why: String = "", hint: String = "") : ShvitException(what, why, hint)

/** Numbers that do not make sense together. */
class WrongSettings(what: String, why: String = "", hint: String = "") : ShvitException(what, why, hint)

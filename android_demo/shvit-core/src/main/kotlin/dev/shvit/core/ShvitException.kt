package dev.shvit.core

/**
 * An error that a person can fix, in three parts. Each case is a class, so that an app can tell them apart with `when`;
 * the iOS library has the same cases.
 *
 * @property what What is wrong, with the value.
 * @property why Why it matters, or what was expected; may be empty.
 * @property hint What to do next; may be empty.
 */
sealed class ShvitException(val what: String, val why: String, val hint: String) :
    Exception(listOf(what, why, hint).filter(String::isNotEmpty).joinToString("\n")) {

    /** The app contains no model, or none of this name. */
    class ModelNotEmbedded(what: String, why: String = "", hint: String = "") : ShvitException(what, why, hint)

    /** A file of a model is missing, damaged, or another one than at export: its SHA-256 differs. */
    class ArtifactChanged(what: String, why: String = "", hint: String = "") : ShvitException(what, why, hint)

    /** A document of a newer major version, or a model for another runtime, or for another version of it. */
    class UnsupportedDocument(what: String, why: String = "", hint: String = "") : ShvitException(what, why, hint)

    /** A document that cannot be read, or that violates its schema. */
    class InvalidDocument(what: String, why: String = "", hint: String = "") : ShvitException(what, why, hint)

    /** An encoded picture that cannot be read or decoded. */
    class UndecodablePicture(what: String, why: String = "", hint: String = "") : ShvitException(what, why, hint)

    /** Pixels or a camera frame with a size or layout that cannot be used. */
    class UnsupportedInput(what: String, why: String = "", hint: String = "") : ShvitException(what, why, hint)

    /** Settings that the caller chose are out of range, or contradict each other. */
    class InvalidSettings(what: String, why: String = "", hint: String = "") : ShvitException(what, why, hint)

    /** A power-saving mode slows the phone down, so that a benchmark would measure the mode. */
    class LowPowerMode(what: String, why: String = "", hint: String = "") : ShvitException(what, why, hint)

    /** The phone is too warm to start a benchmark, and did not cool down in time. */
    class PhoneTooWarm(what: String, why: String = "", hint: String = "") : ShvitException(what, why, hint)

    /** The runtime or the phone failed: a model cannot be stored, loaded or run, or its result cannot be used. */
    class RuntimeFailure(what: String, why: String = "", hint: String = "") : ShvitException(what, why, hint)

    /** The task was cancelled. */
    class Cancelled(what: String, why: String = "", hint: String = "") : ShvitException(what, why, hint)
}

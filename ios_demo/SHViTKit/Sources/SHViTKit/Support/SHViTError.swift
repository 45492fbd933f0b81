import Foundation

/// An error that a person can fix, in three parts: what is wrong, why it matters, what to do next. An app can switch over
/// the cases; the Android library has the same ones.
public enum SHViTError: Error, Equatable, Sendable, LocalizedError, CustomStringConvertible {
    /// The app contains no model, or none of this name.
    case modelNotEmbedded(_ what: String, why: String = "", next: String = "")
    /// A file of a model is missing, damaged, or another one than at export: its SHA-256 differs.
    case artifactChanged(_ what: String, why: String = "", next: String = "")
    /// A document of a newer major version, or a model for another runtime.
    case unsupportedDocument(_ what: String, why: String = "", next: String = "")
    /// A document that cannot be read, or that violates its schema.
    case invalidDocument(_ what: String, why: String = "", next: String = "")
    /// An encoded picture that cannot be read or decoded.
    case undecodablePicture(_ what: String, why: String = "", next: String = "")
    /// Pixels or a camera frame with a size or layout that cannot be used.
    case unsupportedInput(_ what: String, why: String = "", next: String = "")
    /// Settings that the caller chose are out of range, or contradict each other.
    case invalidSettings(_ what: String, why: String = "", next: String = "")
    /// Low-power mode slows the phone down, so that a benchmark would measure the mode.
    case lowPowerMode(_ what: String, why: String = "", next: String = "")
    /// The phone is too warm to start a benchmark, and did not cool down in time.
    case phoneTooWarm(_ what: String, why: String = "", next: String = "")
    /// The runtime or the phone failed: a model cannot be stored, loaded or run, or its result cannot be used.
    case runtimeFailure(_ what: String, why: String = "", next: String = "")
    /// The work was cancelled.
    case cancelled(_ what: String, why: String = "", next: String = "")

    /// What is wrong, with the value.
    public var what: String { parts.what }
    /// Why it matters, or what was expected; may be empty.
    public var why: String { parts.why }
    /// What to do next; may be empty.
    public var next: String { parts.next }

    /// The three parts, one per line.
    public var description: String {
        [what, why, next].filter { !$0.isEmpty }.joined(separator: "\n")
    }

    /// The same text, for system dialogs.
    public var errorDescription: String? { description }

    private var parts: (what: String, why: String, next: String) {
        switch self {
        case .modelNotEmbedded(let what, let why, let next), .artifactChanged(let what, let why, let next),
            .unsupportedDocument(let what, let why, let next), .invalidDocument(let what, let why, let next),
            .undecodablePicture(let what, let why, let next), .unsupportedInput(let what, let why, let next),
            .invalidSettings(let what, let why, let next), .lowPowerMode(let what, let why, let next),
            .phoneTooWarm(let what, let why, let next), .runtimeFailure(let what, let why, let next),
            .cancelled(let what, let why, let next):
            (what, why, next)
        }
    }
}

import Foundation

/// An error that a person can fix, in three parts: what is wrong, why it matters, what to do next.
public struct SHViTError: Error, Equatable, Sendable, LocalizedError, CustomStringConvertible {
    /// What is wrong, with the value.
    public let what: String
    /// Why it matters, or what was expected.
    public let why: String
    /// What to do next; may be empty.
    public let next: String

    /// Creates an error.
    public init(_ what: String, why: String = "", next: String = "") {
        self.what = what
        self.why = why
        self.next = next
    }

    /// The three parts, one per line.
    public var description: String {
        [what, why, next].filter { !$0.isEmpty }.joined(separator: "\n")
    }

    /// The same text, for system dialogs.
    public var errorDescription: String? { description }
}

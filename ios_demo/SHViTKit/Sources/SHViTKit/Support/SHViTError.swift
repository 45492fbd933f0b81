import Foundation

/// Something that a person can mend, told in three parts: what is wrong, why that matters, what to do next.
public struct SHViTError: Error, Equatable, Sendable, LocalizedError, CustomStringConvertible {
    /// What is wrong, with the value.
    public let what: String
    /// Why it matters, or what was expected.
    public let why: String
    /// What to do next; may be empty.
    public let next: String

    /// An error told in words.
    public init(_ what: String, why: String = "", next: String = "") {
        self.what = what
        self.why = why
        self.next = next
    }

    /// The three parts, a line each.
    public var description: String {
        [what, why, next].filter { !$0.isEmpty }.joined(separator: "\n")
    }

    /// The same, where the system shows an error.
    public var errorDescription: String? { description }
}

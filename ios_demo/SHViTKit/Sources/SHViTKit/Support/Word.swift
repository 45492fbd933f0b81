/// A value of a closed list, which documents store as text.
public protocol Word: RawRepresentable, CaseIterable, Codable, Sendable where RawValue == String {}

extension Word {
    /// Decodes a value. The error about an unknown one names the known ones.
    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let value = Self(rawValue: text) else {
            let known = Self.allCases.map(\.rawValue).joined(separator: ", ")
            throw Fault(at: decoder.codingPath, "is '\(text)', not one of \(known)")
        }
        self = value
    }
}

/// A value for a field that a document of an earlier version may lack.
public protocol DefaultValue: Sendable {
    /// Of the field.
    associatedtype Value: Codable & Equatable & Sendable
    /// What the field holds where it is missing.
    static var value: Value { get }
}

/// A field that may be missing in a document, and then holds a default.
@propertyWrapper
public struct Default<Source: DefaultValue>: Codable, Equatable, Sendable {
    /// What the field holds.
    public var wrappedValue: Source.Value

    /// The field with a value.
    public init(wrappedValue: Source.Value = Source.value) {
        self.wrappedValue = wrappedValue
    }

    /// The value that is there.
    public init(from decoder: any Decoder) throws {
        wrappedValue = try decoder.singleValueContainer().decode(Source.Value.self)
    }

    /// The value alone.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(wrappedValue)
    }
}

extension KeyedDecodingContainer {
    /// The compiler calls this for every field that is a `Default`, and so need not fail where there is none.
    func decode<Source>(_ type: Default<Source>.Type, forKey key: Key) throws -> Default<Source> {
        try decodeIfPresent(type, forKey: key) ?? Default()
    }
}

/// False.
public enum No: DefaultValue {
    /// False.
    public static let value = false
}

/// 0.
public enum Zero: DefaultValue {
    /// 0.
    public static let value = 0
}

/// A list of nothing.
public enum EmptyList<Element: Codable & Equatable & Sendable>: DefaultValue {
    /// Nothing.
    public static var value: [Element] { [] }
}

/// A dictionary of nothing.
public enum EmptyMap<Element: Codable & Equatable & Sendable>: DefaultValue {
    /// Nothing.
    public static var value: [String: Element] { [:] }
}

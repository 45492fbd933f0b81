/// The default of a field that documents of earlier versions may lack.
public protocol DefaultValue: Sendable {
    /// The field's type.
    associatedtype Value: Codable & Equatable & Sendable
    /// The default.
    static var value: Value { get }
}

/// A field that may be missing in a document and then has its default.
@propertyWrapper
public struct Default<Source: DefaultValue>: Codable, Equatable, Sendable {
    /// The field's value.
    public var wrappedValue: Source.Value

    /// Creates the field with a value.
    public init(wrappedValue: Source.Value = Source.value) {
        self.wrappedValue = wrappedValue
    }

    /// Decodes the value.
    public init(from decoder: any Decoder) throws {
        wrappedValue = try decoder.singleValueContainer().decode(Source.Value.self)
    }

    /// Encodes the value.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(wrappedValue)
    }
}

extension KeyedDecodingContainer {
    /// Decodes a field, or returns its default if it is missing. The compiler calls this for every `Default` field.
    func decode<Source>(_ type: Default<Source>.Type, forKey key: Key) throws -> Default<Source> {
        try decodeIfPresent(type, forKey: key) ?? Default()
    }
}

/// The default `false`.
public enum No: DefaultValue {
    /// False.
    public static let value = false
}

/// The default 0.
public enum Zero: DefaultValue {
    /// 0.
    public static let value = 0
}

/// The default of a list: empty.
public enum EmptyList<Element: Codable & Equatable & Sendable>: DefaultValue {
    /// An empty list.
    public static var value: [Element] { [] }
}

/// The default of a dictionary: empty.
public enum EmptyMap<Element: Codable & Equatable & Sendable>: DefaultValue {
    /// An empty dictionary.
    public static var value: [String: Element] { [:] }
}

/// The fields of a JSON document that this version does not know, by location.
///
/// A later minor version may add fields. They are set aside when a document is read and restored when it is written.
indirect enum UnknownFields: Equatable, Sendable {
    /// A value that is entirely unknown.
    case value(JSONValue)
    /// Unknown values in the fields of an object.
    case fields([String: UnknownFields])
    /// Unknown values in the elements of a list.
    case elements([Int: UnknownFields])

    /// Returns what `original` contains and `known`, the same document as this version writes it, lacks; nil if
    /// nothing.
    init?(in original: JSONValue, beside known: JSONValue) {
        switch (original, known) {
        case (.object(let original), .object(let known)):
            let unknown = original.compactMapBy { key, value in
                known[key].map { UnknownFields(in: value, beside: $0) } ?? .value(value)
            }
            if unknown.isEmpty { return nil }
            self = .fields(unknown)
        case (.list(let original), .list(let known)):
            var unknown: [Int: UnknownFields] = [:]
            for (index, pair) in zip(original, known).enumerated() {
                unknown[index] = UnknownFields(in: pair.0, beside: pair.1)
            }
            if unknown.isEmpty { return nil }
            self = .elements(unknown)
        default:
            return nil
        }
    }

    /// Returns `known` with the unknown values restored. Values of `known` win.
    func added(to known: JSONValue?) -> JSONValue? {
        switch (self, known) {
        case (.value(let value), nil):
            return value
        case (.fields(let unknown), .object(var fields)):
            for (key, value) in unknown {
                fields[key] = value.added(to: fields[key])
            }
            return .object(fields)
        case (.elements(let unknown), .list(var list)):
            for (index, value) in unknown where index < list.count {
                list[index] = value.added(to: list[index]) ?? list[index]
            }
            return .list(list)
        default:
            return known
        }
    }

    /// The path of the first unknown value, such as `results.0.added`; nil if all are null, which equals a missing
    /// field.
    var firstPlace: String? {
        switch self {
        case .value(let value):
            return value == .null ? nil : ""
        case .fields(let fields):
            return Self.first(fields.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
        case .elements(let elements):
            return Self.first(elements.sorted { $0.key < $1.key }.map { (String($0.key), $0.value) })
        }
    }

    private static func first(_ parts: [(String, UnknownFields)]) -> String? {
        for (name, part) in parts {
            if let rest = part.firstPlace { return rest.isEmpty ? name : "\(name).\(rest)" }
        }
        return nil
    }
}

extension Dictionary {
    fileprivate func compactMapBy<Result>(_ transform: (Key, Value) -> Result?) -> [Key: Result] {
        reduce(into: [:]) { result, pair in result[pair.key] = transform(pair.key, pair.value) }
    }
}

extension Decoder {
    /// Throws if an object has a field of another name.
    func rejectFields<Keys: CodingKey & CaseIterable>(otherThan keys: Keys.Type, _ what: String) throws {
        let names = Set(keys.allCases.map(\.stringValue))
        for key in try container(keyedBy: AnyKey.self).allKeys where !names.contains(key.stringValue) {
            throw Fault(at: codingPath + [key], what)
        }
    }
}

/// The key of any field.
private struct AnyKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(stringValue: String) {
        self.stringValue = stringValue
    }

    init?(intValue: Int) {
        return nil
    }
}

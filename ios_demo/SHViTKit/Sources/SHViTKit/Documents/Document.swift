import Foundation

/// The content of a JSON document that follows a schema of the project.
public protocol DocumentContent: Codable, Equatable, Sendable {
    /// The schema's name (`schemas/NAME.schema.json`) and the document's `kind`.
    static var kind: String { get }
    /// The document's name with its article, for sentences: "a manifest".
    static var title: String { get }
    /// The schema version that this package writes, MAJOR.MINOR (default: 1.0).
    static var newestVersion: String { get }
    /// The schema version, MAJOR.MINOR.
    var schemaVersion: String { get }
    /// The kind of document, as the file states it.
    var kind: String { get }
    /// Rejects a document that is valid and that this package cannot use; called before its fields are decoded.
    ///
    /// - Parameters:
    ///   - json: The whole document.
    ///   - source: The name of the file, for errors.
    static func checkSupport(of json: JSONValue, source: String) throws(SHViTError)
}

extension DocumentContent {
    /// 1.0.
    public static var newestVersion: String { "1.0" }

    /// Accepts every document.
    public static func checkSupport(of json: JSONValue, source: String) throws(SHViTError) {}
}

/// A document with its known content and the unknown fields of a later minor version.
///
/// A newer major version is rejected. Fields that a newer minor version added are kept and written again. In a document
/// of the current version, an unknown field is an error.
public struct Document<Content: DocumentContent>: Equatable, Sendable {
    /// The content that this version knows.
    public var content: Content
    private let unknown: UnknownFields?

    /// Creates a document of the current version.
    public init(_ content: Content) {
        self.content = content
        unknown = nil
    }

    /// Reads a document from a file.
    ///
    /// - Throws: `SHViTError` if the file cannot be read, or is not such a document; names the first invalid field.
    public init(contentsOf url: URL) throws(SHViTError) {
        let json: Data
        do { json = try Data(contentsOf: url) } catch {
            throw SHViTError.invalidDocument(
                "\(url.lastPathComponent) cannot be read: \(error.localizedDescription)",
                why: "It should be \(Content.title).")
        }
        try self.init(json: json, source: url.lastPathComponent)
    }

    /// Parses a document.
    ///
    /// - Parameters:
    ///   - json: The document's bytes.
    ///   - source: The name of the file, for errors.
    public init(json: Data, source: String) throws(SHViTError) {
        guard let original = try? JSONDecoder().decode(JSONValue.self, from: json) else {
            throw SHViTError.invalidDocument("\(source) is not \(Content.title): it is not JSON.", why: damaged)
        }
        let newer = try Self.isNewer(original, source: source)
        try Content.checkSupport(of: original, source: source)
        let known: JSONValue
        do {
            content = try Self.content(of: json)
            known = try Self.value(of: content)
        } catch {
            let place = error.place.isEmpty ? "" : " \(error.place)"
            throw SHViTError.invalidDocument("\(source) is not \(Content.title):\(place) \(error.what).", why: damaged)
        }
        unknown = UnknownFields(in: original, beside: known)
        if !newer, let place = unknown?.firstPlace {
            throw SHViTError.invalidDocument(
                "\(source) is not \(Content.title): version \(Self.version) has no field \(place).", why: damaged)
        }
    }

    /// Returns the JSON that `init(json:source:)` reads.
    ///
    /// - Throws: `SHViTError` if the content violates its schema.
    public func json() throws(SHViTError) -> Data {
        do {
            let known = try Self.value(of: content)
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            return try encoder.encode(unknown?.added(to: known) ?? known) + Data("\n".utf8)
        } catch {
            let fault = error as? Fault
            throw SHViTError.invalidDocument(
                "This is not \(Content.title) that its schema allows: \(fault?.place ?? "") \(fault?.what ?? "\(error)").",
                why: "Nothing was written.")
        }
    }

    /// Writes the document atomically.
    public func write(to url: URL) throws(SHViTError) {
        let data = try json()
        do { try data.write(to: url, options: .atomic) } catch {
            throw SHViTError.runtimeFailure(
                "\(url.lastPathComponent) cannot be written: \(error.localizedDescription)",
                next: "Choose another folder.")
        }
    }

    /// Returns whether the document has a newer minor version; rejects a newer major version.
    private static func isNewer(_ original: JSONValue, source: String) throws(SHViTError) -> Bool {
        guard case .text(let text) = original["schema_version"], let its = SchemaVersion(text) else {
            throw SHViTError.invalidDocument(
                "\(source) is not \(Content.title): schema_version does not have the form MAJOR.MINOR.", why: damaged)
        }
        let version = Self.version
        guard its.major <= version.major else {
            throw SHViTError.unsupportedDocument(
                "\(source) is \(Content.title) of version \(its).",
                why: "This app reads version \(version.major).x.", next: "Update the app.")
        }
        return its > version
    }

    /// The schema version that this package reads and writes.
    private static var version: SchemaVersion {
        SchemaVersion(Content.newestVersion) ?? SchemaVersion(major: 1, minor: 0)
    }

    private static func content(of json: Data) throws(Fault) -> Content {
        let content: Content
        do {
            content = try decoder.decode(Content.self, from: json)
        } catch let fault as Fault {
            throw fault
        } catch let error as DecodingError {
            throw Fault(error)
        } catch {
            throw Fault("", "cannot be decoded: \(error)")
        }
        try check(content)
        return content
    }

    private static func value(of content: Content) throws(Fault) -> JSONValue {
        try check(content)
        do {
            return try JSONDecoder().decode(JSONValue.self, from: encoder.encode(content))
        } catch {
            throw Fault("", "cannot be encoded: \(error)")
        }
    }

    private static func check(_ content: Content) throws(Fault) {
        guard content.kind == Content.kind else {
            throw Fault("kind", "is \(content.kind), not \(Content.kind)")
        }
        if let checked = content as? any Checked { try checked.check() }
    }

    private static var decoder: JSONDecoder {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        return decoder
    }

    private static var encoder: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        return encoder
    }
}

private let damaged = "The file may be damaged or edited by hand."

/// A schema version, MAJOR.MINOR.
struct SchemaVersion: Comparable, CustomStringConvertible {
    let major: Int
    let minor: Int

    init(major: Int, minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// Parses a version; nil if the text is not two numbers separated by a dot.
    init?(_ text: String) {
        guard text.allSatisfy({ $0 == "." || ("0"..."9").contains($0) }) else { return nil }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { Int($0) }
        guard parts.count == 2, let major = parts[0], let minor = parts[1] else { return nil }
        self.init(major: major, minor: minor)
    }

    var description: String { "\(major).\(minor)" }

    static func < (one: SchemaVersion, other: SchemaVersion) -> Bool {
        (one.major, one.minor) < (other.major, other.minor)
    }
}

extension Fault {
    /// Converts a decoding error into a field and a reason.
    fileprivate init(_ error: DecodingError) {
        switch error {
        case .keyNotFound(let key, let context):
            self.init(at: context.codingPath + [key], "is missing")
        case .dataCorrupted(let context) where context.codingPath.isEmpty:
            // The text is valid JSON at this point. Foundation on Linux reports an integer that does not fit as
            // corrupt data, without a field.
            self.init("", "contains a number of the wrong type, such as a fraction for a count")
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
            self.init(at: context.codingPath, "has the wrong type: \(context.debugDescription)")
        @unknown default:
            self.init("", "cannot be decoded: \(error)")
        }
    }
}

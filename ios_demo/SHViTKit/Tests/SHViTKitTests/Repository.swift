import Foundation

@testable import SHViTKit

/// The files that the tests in Python and Kotlin share.
enum Repository {
    static let root = URL(filePath: #filePath)
        .deletingLastPathComponent()  // SHViTKitTests
        .deletingLastPathComponent()  // Tests
        .deletingLastPathComponent()  // SHViTKit
        .deletingLastPathComponent()  // ios_demo
        .deletingLastPathComponent()
    static let vectors = root.appending(path: "schemas/vectors")
    static let fixtures = root.appending(path: "schemas/fixtures")
    /// The folder for models of `shvit-mobile embed`.
    static let embedded = root.appending(path: "ios_demo/SHViTDemo/Models")

    /// Decodes a JSON file with snake-case keys.
    static func json<Value: Decodable>(_ url: URL) throws -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Value.self, from: Data(contentsOf: url))
    }

    /// Decodes one field of such a file.
    static func json<Value: Decodable>(_ url: URL, field: String) throws -> Value {
        let fields: [String: JSONValue] = try json(url)
        let data = try JSONEncoder().encode(fields[field])
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Value.self, from: data)
    }

    static func bytes(_ url: URL) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: url))
    }
}

/// Returns the error that `body` throws as its case and its text, such as "artifactChanged: It is damaged.", or
/// "no error".
func sentence(of body: () throws -> Void) -> String {
    do { try body() } catch { return "\(caseName(error)): \(error)" }
    return "no error"
}

/// The same for asynchronous work.
func sentence(of body: () async throws -> Void) async -> String {
    do { try await body() } catch { return "\(caseName(error)): \(error)" }
    return "no error"
}

/// The name of an error's case.
func caseName(_ error: any Error) -> String {
    Mirror(reflecting: error).children.first?.label ?? "\(type(of: error))"
}

/// Calls `body` with a temporary folder.
func withFolder<Value: Sendable>(
    isolation: isolated (any Actor)? = #isolation, _ body: (URL) async throws -> Value
) async throws -> Value {
    let folder = FileManager.default.temporaryDirectory.appending(path: "shvit-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try await body(folder)
}

/// Writes a file and creates its folders.
func write(_ data: Data, to url: URL) throws {
    try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try data.write(to: url)
}

import Foundation

@testable import SHViTKit

/// The files that Python and Kotlin test against too.
enum Repository {
    static let root = URL(filePath: #filePath)
        .deletingLastPathComponent()  // SHViTKitTests
        .deletingLastPathComponent()  // Tests
        .deletingLastPathComponent()  // SHViTKit
        .deletingLastPathComponent()  // ios_demo
        .deletingLastPathComponent()
    static let vectors = root.appending(path: "schemas/vectors")
    static let fixtures = root.appending(path: "schemas/fixtures")
    /// Where `shvit-mobile embed` puts models.
    static let embedded = root.appending(path: "ios_demo/SHViTDemo/Models")

    /// A file of JSON whose keys are in snake case.
    static func json<Value: Decodable>(_ url: URL) throws -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Value.self, from: Data(contentsOf: url))
    }

    /// One field of such a file.
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

/// The words of the error that something throws; "no error" where it throws none.
func sentence(of body: () throws -> Void) -> String {
    do { try body() } catch { return "\(error)" }
    return "no error"
}

/// As above, of what takes time.
func sentence(of body: () async throws -> Void) async -> String {
    do { try await body() } catch { return "\(error)" }
    return "no error"
}

/// Does something with a folder of its own, which is removed afterwards.
func withFolder<Value: Sendable>(
    isolation: isolated (any Actor)? = #isolation, _ body: (URL) async throws -> Value
) async throws -> Value {
    let folder = FileManager.default.temporaryDirectory.appending(path: "shvit-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try await body(folder)
}

/// Writes a file and the folders around it.
func write(_ data: Data, to url: URL) throws {
    try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try data.write(to: url)
}

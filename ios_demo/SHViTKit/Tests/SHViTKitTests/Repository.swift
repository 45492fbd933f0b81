import Foundation
import Testing

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

    /// A file of JSON whose keys are in snake case.
    static func json<Value: Decodable>(_ url: URL) throws -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Value.self, from: Data(contentsOf: url))
    }

    static func bytes(_ url: URL) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: url))
    }
}

import Foundation
import Testing

@testable import SHViTKit

/// Tests against `schemas/fixtures`, which Python writes and reads.
struct DocumentTests {
    struct Invalid: Decodable {
        struct Case: Decodable, Sendable, CustomTestStringConvertible {
            let file: String
            let document: String
            let why: String

            var testDescription: String { file }
        }
        let cases: [Case]
    }

    static func files(in folder: String) throws -> [String] {
        let url = Repository.fixtures.appending(path: folder)
        let found = try FileManager.default.contentsOfDirectory(atPath: url.path).filter { $0.hasSuffix(".json") }
        try #require(!found.isEmpty)
        return found.sorted().map { "\(folder)/\($0)" }
    }

    /// Returns the invalid documents of the kinds that an app reads.
    static func invalid() throws -> [Invalid.Case] {
        let invalid: Invalid = try Repository.json(Repository.fixtures.appending(path: "invalid/cases.json"))
        return invalid.cases.filter { $0.document != "drift_report" }
    }

    static func valid() throws -> [String] {
        let folders = ["device_report", "device_report_earlier", "manifest", "recipe", "newer_minor"]
        let goldens = ["goldens/shvit_s1-64-executorch-fp32.goldens/goldens.json"]
        return try folders.flatMap(files(in:)).filter { !$0.hasSuffix("drift_report.json") } + goldens
    }

    /// Reads a document of any kind and writes it again.
    static func rewritten(_ url: URL) throws -> Data {
        let data = try Data(contentsOf: url)
        let plain = try JSONDecoder().decode(JSONValue.self, from: data)
        switch plain["kind"] {
        case .text(DeviceReport.kind): return try Document<DeviceReport>(contentsOf: url).json()
        case .text(Manifest.kind): return try Document<Manifest>(contentsOf: url).json()
        case .text(Recipe.kind): return try Document<Recipe>(contentsOf: url).json()
        default: return try Document<Goldens>(contentsOf: url).json()
        }
    }

    @Test("A document that is read and written again keeps unknown fields", arguments: try valid())
    func roundTrip(file: String) throws {
        let url = Repository.fixtures.appending(path: file)

        let again = try JSONDecoder().decode(JSONValue.self, from: Self.rewritten(url))

        let original = try JSONDecoder().decode(JSONValue.self, from: Data(contentsOf: url))
        let isSame = again == original
        #expect(isSame)
    }

    @Test("An invalid document is rejected, and the error names the field", arguments: try invalid())
    func refused(example: Invalid.Case) throws {
        let url = Repository.fixtures.appending(path: "invalid/\(example.file)")
        let message = sentence { try Self.open(url, as: example.document) }
        #expect(
            message.contains(example.why)
                || message.contains("a fraction for a count") && example.file.contains("fraction"))
    }

    static func open(_ url: URL, as kind: String) throws {
        switch kind {
        case DeviceReport.kind: _ = try Document<DeviceReport>(contentsOf: url)
        case Manifest.kind: _ = try Document<Manifest>(contentsOf: url)
        case Recipe.kind: _ = try Document<Recipe>(contentsOf: url)
        default: _ = try Document<Goldens>(contentsOf: url)
        }
    }
}

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
        let folders = [
            "device_report", "device_report_earlier", "device_report_other_timing", "manifest", "recipe", "newer_minor",
        ]
        let stems = [ModelStoreTests.stem, ModelStoreTests.detector]
        let goldens = stems.flatMap { ["goldens/\($0).goldens/goldens.json", "goldens/\($0).manifest.json"] }
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
        #expect(message.hasPrefix(example.file.contains("newer-major") ? "unsupportedDocument" : "invalidDocument"))
        #expect(
            message.contains(example.why)
                || message.contains("a fraction for a count") && example.file.contains("fraction"))
    }

    /// Reads a manifest with a changed field, of its own or of its preprocessing; nil removes the field.
    static func manifest(
        _ version: String = "1.0", own: [String: String?] = [:], preprocessing: [String: String?] = [:]
    ) throws -> Document<Manifest> {
        let url = Repository.fixtures.appending(path: "manifest/shvit_s1-224-coreml-fp16.manifest.json")
        var fields: [String: JSONValue] = try JSONDecoder().decode(
            [String: JSONValue].self, from: Data(contentsOf: url))
        guard case .object(var inner) = fields["preprocessing"] else { throw CocoaError(.coderInvalidValue) }
        for (name, text) in preprocessing { inner[name] = text.map(JSONValue.text) }
        for (name, text) in own { fields[name] = text.map(JSONValue.text) }
        fields["preprocessing"] = .object(inner)
        fields["schema_version"] = .text(version)
        return try Document<Manifest>(json: JSONEncoder().encode(fields), source: "a.json")
    }

    @Test("A manifest without a resize mode covers")
    func resizeMode() throws {
        #expect(try Self.manifest(preprocessing: ["resize_mode": nil]).content.preprocessing.resizeMode == .cover)
        #expect(try Self.manifest(preprocessing: ["resize_mode": "squash"]).content.preprocessing.resizeMode == .squash)
    }

    @Test(
        "An unknown value is rejected with the known ones",
        arguments: [
            ("resize_mode", "cover, squash, letterbox"), ("padding", "center, end"), ("channel_order", "rgb, bgr"),
            ("interpolation", "nearest, bilinear, bicubic, lanczos"),
        ])
    func unknownValue(field: String, known: String) {
        let message = sentence { _ = try Self.manifest(preprocessing: [field: "other"]) }
        #expect(
            message.hasPrefix(
                "invalidDocument: a.json is not a manifest: preprocessing.\(field) is 'other', not one of \(known)."))
    }

    @Test("A manifest without a task is a classifier's")
    func task() throws {
        #expect(try Self.manifest(own: ["task": nil]).content.task == .classify)
    }

    @Test("A manifest of an unknown task is rejected before its fields are read")
    func otherTask() {
        let message = sentence { _ = try Self.manifest(own: ["task": "segment", "output": nil]) }
        #expect(message.hasPrefix("unsupportedDocument: a.json is a manifest of the unknown task 'segment'."))
        #expect(message.contains("classify, features, detect") && message.contains("--task classify"))
    }

    @Test("Outputs and boxes that contradict the task are rejected")
    func contradictions() throws {
        let file = Repository.fixtures.appending(path: "goldens/\(ModelStoreTests.detector).manifest.json")
        let detector = try Document<Manifest>(contentsOf: file).content
        func fault(_ change: (inout Manifest) -> Void) -> String {
            var manifest = detector
            change(&manifest)
            return sentence { _ = try Document(manifest).json() }
        }
        #expect(fault { _ in } == "no error")
        #expect(fault { ($0.task, $0.detection) = (.features, nil) } == "no error")
        #expect(fault { $0.task = .features }.contains("detection does not fit"))
        #expect(fault { $0.task = .classify }.contains("output does not fit"))
        #expect(fault { $0.output.maps = nil }.contains("output does not fit"))
        #expect(fault { $0.detection = nil }.contains("detection does not fit"))
        #expect(fault { $0.labels.append("fish") }.contains("scores and boxes"))
        #expect(fault { $0.output.maps?.swapAt(0, 1) }.contains("scores and boxes"))
        #expect(fault { $0.output.maps?[0].shape = [2, 4] }.contains("output.maps.0.shape"))
        #expect(fault { $0.detection?.strides = [32, 16] }.contains("detection.strides"))
    }

    @Test("A validated detector, and a program of several sizes, are read and written again with all figures")
    func detectorsDrift() throws {
        let file = Repository.fixtures.appending(path: "goldens/\(ModelStoreTests.detector).manifest.json")
        var fields = try JSONDecoder().decode([String: JSONValue].self, from: Data(contentsOf: file))
        fields["drift"] = try JSONDecoder().decode(
            JSONValue.self,
            from: Data(
                """
                {"artifact": "a.pte", "target": "executorch", "precision": "fp32", "how": "native", "engine": "e",
                 "images": 3, "sqnr_db": 40.5, "max_abs_error": 0.5,
                 "maps": [{"name": "scores16", "sqnr_db": 40.5, "cosine": 0.9, "worst_channel": 1,
                           "worst_channel_db": 30.5, "max_abs_error": 0.5}],
                 "boxes": {"score_threshold": 0.3, "float_boxes": 4, "mean_iou": null},
                 "average_precision": {"true_boxes": 9, "float_ap50": 20.5, "drop_interval": [0.5, 1.5]}}
                """.utf8))
        fields["sizes"] = .list([.object(["method": .text("forward"), "size": .list([.integer(64), .integer(96)])])])
        let written = try JSONEncoder().encode(fields)
        let again = try Document<Manifest>(json: written, source: "a.json").json()
        let plain = try JSONDecoder().decode([String: JSONValue].self, from: again)
        #expect(plain["sizes"] == fields["sizes"])
        guard case .object(let drift)? = plain["drift"], case .object(let expected)? = fields["drift"] else {
            return #expect(Bool(false))
        }
        for name in ["maps", "boxes", "average_precision"] { #expect(drift[name] == expected[name], "\(name)") }
    }

    @Test("An unknown field of the preprocessing is rejected in a newer version too", arguments: ["1.0", "1.9"])
    func unknownPreprocessing(version: String) {
        let message = sentence { _ = try Self.manifest(version, preprocessing: ["gamma_curve": "steep"]) }
        #expect(message.contains("preprocessing.gamma_curve"))
    }

    @Test("A manifest may contain the checksum of its content")
    func contentChecksum() throws {
        let checksum = String(repeating: "0123456789abcdef", count: 4)
        let with = try Self.manifest(own: ["content_sha256": checksum])
        #expect(with.content.contentSha256 == checksum)
        #expect(String(decoding: try with.json(), as: UTF8.self).contains(checksum))
        #expect(try Self.manifest(own: ["content_sha256": nil]).content.contentSha256 == nil)
        for wrong in ["", String(checksum.dropFirst()), checksum.uppercased()] {
            #expect(sentence { _ = try Self.manifest(own: ["content_sha256": wrong]) }.contains("content_sha256"))
        }
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

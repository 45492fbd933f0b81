import Foundation
import Testing

@testable import SHViTKit

/// Tests of the models that `shvit-mobile embed` put into the demo app.
///
/// Linux has no decoder of JPEG: `SHVIT_PICTURES` names a folder in which Python has put the goldens' pictures, decoded,
/// each named by the SHA-256 of its JPEG. Where `SHVIT_EMBEDDED` is "required", a store without models fails.
struct EmbeddedModelsTests {
    static let environment = ProcessInfo.processInfo.environment

    static func models() throws -> [EmbeddedModel] {
        let listing = ModelStore(folder: Repository.embedded).listing()
        if environment["SHVIT_EMBEDDED"] == "required" {
            try #require(
                !listing.models.isEmpty, "No model in \(Repository.embedded.path). Run: make app-goldens")
            try #require(listing.problems.isEmpty, "\(listing.problems)")
        }
        return listing.models
    }

    @Test("Every embedded model matches its manifest and has goldens")
    func exported() async throws {
        for model in try Self.models() {
            try model.verify()
            let goldens = try #require(try model.goldens(), "\(model.id) has no goldens")
            #expect(goldens.goldens.preprocessing == model.manifest.preprocessing)
            #expect(goldens.goldens.images.allSatisfy { $0.logits.count == model.labels.count })

            guard let decoder = Self.decoder() else { continue }

            let outcome = try await GoldenChecker(goldens, decoder: decoder).check(Oracle(goldens))

            #expect(outcome.inference.passed)
            // Both use Python's decoder, so the pixels must be equal.
            #expect(outcome.preprocessing.difference == 0, "\(model.id)")
        }
    }

    @Test("The goldens' pixels are written to SHVIT_PIXELS for the check in Python")
    func pixels() throws {
        guard let folder = Self.environment["SHVIT_PIXELS"] else { return }
        let decoder = try #require(Self.decoder(), "SHVIT_PICTURES is not set")
        for model in try Self.models() {
            let goldens = try #require(try model.goldens())
            let preprocessor = try Preprocessor(model.manifest.preprocessing)
            for image in goldens.goldens.images {
                let pixels = preprocessor.pixels(of: try decoder(goldens.picture(of: image)))
                try write(
                    Data(pixels.bytes), to: URL(filePath: folder).appending(path: "\(model.id)/\(image.image).rgb"))
            }
        }
    }

    /// Returns a decoder that reads the PPM files that Python wrote.
    static func decoder() -> GoldenChecker.Decoder? {
        guard let folder = environment["SHVIT_PICTURES"] else { return nil }
        return { jpeg in
            let name = "\(Fingerprint.sha256(of: jpeg)).ppm"
            let data = try Data(contentsOf: URL(filePath: folder).appending(path: name))
            let header = data.split(separator: 10, maxSplits: 3, omittingEmptySubsequences: false)
            let size = String(decoding: header[1], as: UTF8.self).split(separator: " ").compactMap { Int($0) }
            return try RGBImage(height: size[1], width: size[0], bytes: [UInt8](header[3]))
        }
    }

    @Test("The fixtures' pictures become the fixtures' pixels")
    func fixtures() async throws {
        guard let decoder = Self.decoder() else { return }
        let set = try GoldenSet(folder: GoldenCheckerTests.folder, of: GoldenCheckerTests.artifact)
        let outcome = try await GoldenChecker(set, decoder: decoder).check(Oracle(set))
        #expect(outcome.passed)
        #expect(outcome.preprocessing.difference == 0)
    }
}

import Foundation
import SHViTDemoCore
import Testing

@testable import SHViTKit

struct RecogniserTests {
    @Test("A picture is prepared for the model, and the answer has names and times")
    func answer() async throws {
        try await withFolder { folder in
            let labels = (0..<10).map { "class \($0)" }.joined(separator: "\n")
            let model = try #require(ModelStoreTests.store(in: folder, labels: labels).listing().models.first)
            let golden = try #require(try model.goldens())
            let image = try #require(golden.goldens.images.first)
            let picture = try golden.pixels(of: image)
            let recogniser = try await Recogniser(model, source: OracleSource(oracle: try Oracle(golden)))

            let answer = try await recogniser.answer(picture)

            #expect(answer.guesses.count == 5)
            let best = try #require(largestIndex(image.logits))
            #expect(answer.guesses.first?.label == "class \(best)")
            #expect(answer.preparation > 0)
            #expect(answer.inference > 0)
        }
    }

    @Test("A model is compiled before it is loaded, and its time is that of the inference alone")
    func times() async throws {
        try await withFolder { folder in
            let model = try #require(ModelStoreTests.store(in: folder).listing().models.first)
            let clock = StandingClock()
            let source = TimedClassifier(clock, durations: [.milliseconds(7)], compiling: .milliseconds(100))
            let recogniser = try await Recogniser(model, source: source, stopwatch: clock.stopwatch)
            #expect(clock.stopwatch.now() == .milliseconds(140))

            let answer = try await recogniser.answer(
                RGBImage(height: 64, width: 64, bytes: [UInt8](repeating: 9, count: 64 * 64 * 3)))

            #expect(answer.inference == 7)
            #expect(answer.preparation == 0)
        }
    }
}

/// Loads what answers goldens.
private struct OracleSource: ClassifierSource {
    let oracle: Oracle

    func load() async throws -> any Classifier { oracle }
}

struct ManifestFactsTests {
    static let locale = Locale(identifier: "en_GB")

    @Test("A manifest's facts are those of the artifact; what is not known has no line")
    func facts() throws {
        let file = Repository.fixtures.appending(path: "goldens/\(ModelStoreTests.stem).manifest.json")
        var manifest = try Document<Manifest>(contentsOf: file).content
        manifest.drift = nil
        let sections = ManifestFacts.all(of: manifest, locale: Self.locale)
        #expect(sections.map(\.id) == ["Artifact", "Model", "Preprocessing"])
        let facts = sections.flatMap(\.facts).reduce(into: [:]) { $0[$1.id] = $1.value }
        #expect(facts["Runtime"] == "ExecuTorch")
        #expect(facts["Size"] == "24.1 MB")
        #expect(facts["Classes"] == "10")
        #expect(facts["Pixels"] == "64 x 64")
        #expect(facts["Kept by the crop"] == "100%")
        #expect(facts["Normalisation"] == "inside the model")
        manifest.input.values = .normalised
        let other = ManifestFacts.all(of: manifest, locale: Self.locale).flatMap(\.facts)
        #expect(other.contains { $0.id == "Normalisation" && $0.value == "in the app" })
    }

    @Test("Where the export was validated, its drift is told")
    func drift() throws {
        let folder = Repository.fixtures.appending(path: "manifest")
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
        let manifests = try names.map { try Document<Manifest>(contentsOf: folder.appending(path: $0)).content }
        var manifest = try #require(manifests.first { $0.drift != nil })
        manifest.drift?.agreement.value = 0.985
        manifest.drift?.sqnrDb = .infinity
        let section = try #require(ManifestFacts.all(of: manifest, locale: Self.locale).last)
        #expect(section.id == "Beside its float model")
        #expect(section.facts.map(\.value) == ["98.5%", "no noise"])
    }
}

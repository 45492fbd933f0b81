import Foundation
import SHViTDemoCore
import Testing

@testable import SHViTKit

struct ManifestFactsTests {
    static let locale = Locale(identifier: "en_GB")

    @Test("The facts match the manifest, and unknown ones have no row")
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
        #expect(facts["Task"] == "classification")
        #expect(facts["Input size"] == "64 x 64")
        #expect(facts["Crop ratio"] == "100%")
        #expect(facts["Resizing"] == "cover")
        #expect(facts["Channel order"] == "rgb")
        #expect(facts["Normalization"] == "inside the model")
        manifest.input.values = .normalized
        let other = ManifestFacts.all(of: manifest, locale: Self.locale).flatMap(\.facts)
        #expect(other.contains { $0.id == "Normalization" && $0.value == "in the app" })
    }

    @Test("A validated export shows its drift")
    func drift() throws {
        let folder = Repository.fixtures.appending(path: "manifest")
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
        let manifests = try names.map { try Document<Manifest>(contentsOf: folder.appending(path: $0)).content }
        var manifest = try #require(manifests.first { $0.drift != nil })
        manifest.drift?.agreement?.value = 0.985
        manifest.drift?.sqnrDb = .infinity
        let section = try #require(ManifestFacts.all(of: manifest, locale: Self.locale).last)
        #expect(section.id == "Drift from the float model")
        #expect(section.facts.map(\.value) == ["98.5%", "no noise"])
    }
}

import Foundation
import Testing

@testable import SHViTKit

struct ModelStoreTests {
    static let stem = "shvit_s1-64-executorch-fp32"
    static let detector = "detector-64-executorch-fp32"
    static let program = Data("not a program, but bytes with a fingerprint".utf8)

    /// Returns a store with one model, laid out as by `shvit-mobile embed`, with a fake program.
    static func store(in folder: URL, stem: String = stem, labels: String? = nil) throws -> ModelStore {
        let model = folder.appending(path: stem)
        let fixtures = Repository.fixtures.appending(path: "goldens")
        var manifest = try Document<Manifest>(contentsOf: fixtures.appending(path: "\(stem).manifest.json"))
        manifest.content.artifact.sha256 = Fingerprint.sha256(of: program)
        try write(program, to: model.appending(path: "\(stem).pte"))
        let goldens = model.appending(path: "\(stem).goldens")
        try FileManager.default.copyItem(at: fixtures.appending(path: "\(stem).goldens"), to: goldens)
        var list = try Document<Goldens>(contentsOf: goldens.appending(path: "goldens.json"))
        list.content.artifactSha256 = manifest.content.artifact.sha256
        try list.write(to: goldens.appending(path: "goldens.json"))
        manifest.content.goldens?.sha256 = try Fingerprint.sha256(of: goldens)
        try manifest.write(to: model.appending(path: "\(stem).manifest.json"))
        if let labels { try write(Data(labels.utf8), to: model.appending(path: "labels.txt")) }
        return ModelStore(folder: folder)
    }

    @Test("A model is listed with manifest, labels and goldens")
    func found() async throws {
        try await withFolder { folder in
            let listing = try Self.store(in: folder).listing()
            #expect(listing.problems.isEmpty)
            let model = try #require(listing.models.first)
            #expect(model.id == Self.stem)
            #expect(model.labels == model.manifest.labels)
            #expect(try Data(contentsOf: model.artifact) == Self.program)
            try model.verify()
            #expect(try model.goldens()?.goldens.images.count == 3)
        }
    }

    @Test("Labels come from labels.txt if it exists")
    func labels() async throws {
        let names = (0..<10).map { "class \($0)" }
        try await withFolder { folder in
            let listing = try Self.store(in: folder, labels: names.joined(separator: "\n") + "\n").listing()
            #expect(listing.models.first?.labels == names)
        }
        try await withFolder { folder in
            let listing = try Self.store(in: folder, labels: "one\ntwo").listing()
            #expect(listing.models.isEmpty)
            #expect(listing.problems.map(caseName) == ["artifactChanged"])
        }
        try await withFolder { folder in
            let store = try Self.store(in: folder)
            try write(Data([0xff, 0xfe, 0xff]), to: folder.appending(path: "\(Self.stem)/labels.txt"))
            #expect(store.listing().problems.map(caseName) == ["artifactChanged"])
        }
    }

    @Test("A damaged artifact and damaged goldens are rejected")
    func damaged() async throws {
        try await withFolder { folder in
            let model = try #require(Self.store(in: folder).listing().models.first)
            try Data("others".utf8).write(to: model.artifact)
            #expect(sentence { try model.verify() }.hasPrefix("artifactChanged"))
            try Data().write(to: model.folder.appending(path: "\(Self.stem).goldens/0.jpg"))
            #expect(sentence { _ = try model.goldens() }.hasPrefix("artifactChanged"))
        }
    }

    @Test("A runtime runs its own artifacts, one picture at a time")
    func runnable() throws {
        func manifest(_ name: String) throws -> Manifest {
            try Document<Manifest>(contentsOf: Repository.fixtures.appending(path: name)).content
        }
        func error(_ manifest: Manifest, for target: Manifest.Target) -> String {
            sentence { try manifest.check(for: target) }
        }
        let package = try manifest("manifest/shvit_s1-224-coreml-fp16.manifest.json")
        var program = try manifest("goldens/\(Self.stem).manifest.json")
        #expect(error(package, for: .coreml) == "no error")
        #expect(error(program, for: .executorch) == "no error")
        #expect(error(package, for: .executorch).hasPrefix("unsupportedDocument"))
        #expect(error(program, for: .coreml).hasPrefix("unsupportedDocument"))
        program.input.shape[0] = 0
        #expect(error(program, for: .executorch) == "no error")
        program.input.shape[0] = 4
        #expect(error(program, for: .executorch).hasPrefix("unsupportedDocument"))
        program.input.shape[0] = 1
        program.input.dtype = "float16"
        #expect(error(program, for: .executorch).hasPrefix("unsupportedDocument"))
        program.input.kind = .image
        #expect(error(program, for: .executorch).hasPrefix("unsupportedDocument"))
    }

    @Test("A manifest without goldens has none")
    func noGoldens() async throws {
        try await withFolder { folder in
            let model = try #require(Self.store(in: folder).listing().models.first)
            let place = model.folder.appending(path: "\(Self.stem).manifest.json")
            var manifest = try Document<Manifest>(contentsOf: place)
            manifest.content.goldens = nil
            try manifest.write(to: place)
            #expect(try EmbeddedModel(folder: model.folder).goldens() == nil)
        }
    }

    @Test("A damaged model does not hide the others, and a missing store is an error")
    func problems() async throws {
        try await withFolder { folder in
            let store = try Self.store(in: folder)
            try write(Data("{}".utf8), to: folder.appending(path: "broken/broken.manifest.json"))
            try FileManager.default.copyItem(
                at: folder.appending(path: Self.stem), to: folder.appending(path: "renamed"))
            try write(Data(), to: folder.appending(path: "README.md"))
            let listing = store.listing()
            #expect(listing.models.map(\.id) == [Self.stem])
            #expect(listing.problems.map(caseName) == ["invalidDocument", "invalidDocument"])
            try FileManager.default.removeItem(at: folder.appending(path: "\(Self.stem)/\(Self.stem).pte"))
            #expect(store.listing().problems.last.map(caseName) == "artifactChanged")
        }
        let nowhere = ModelStore(folder: URL(filePath: "/nowhere")).listing()
        #expect(nowhere.problems.map(caseName) == ["modelNotEmbedded"])
    }
}

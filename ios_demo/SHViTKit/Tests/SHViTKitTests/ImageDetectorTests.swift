import Foundation
import Testing

@testable import SHViTKit

struct ImageDetectorTests {
    static func store(in folder: URL) throws -> (ModelStore, maps: [Manifest.OutputMap]) {
        let store = try ModelStoreTests.store(in: folder, stem: ModelStoreTests.detector)
        let manifest = try store.model(named: ModelStoreTests.detector).manifest
        return (store, try #require(manifest.output.maps))
    }

    @Test("An embedded detector is found by name, and boxes are in pixels of the upright picture")
    func objects() async throws {
        try await withFolder { folder in
            let (store, maps) = try Self.store(in: folder)
            let runtime = ModelRuntime(.executorch) { _ in OneObject(maps: maps) }
            let detector = try await ImageDetector(named: ModelStoreTests.detector, in: store, runtimes: [runtime])
            #expect(detector.model.labels == ["cat", "dog"])
            let answer = try await detector.detect(Turned(height: 96, width: 144))
            #expect(answer.objects.count == 1)
            let object = try #require(answer.objects.first)
            #expect(object.label == "dog")
            #expect(abs(object.box.score - 1 / (1 + exp(-2))) < 1e-6)
            // The upright picture is 96 wide and 144 high; its middle, 96 high, is the input of 64.
            let box = object.box
            #expect([box.left, box.top, box.right, box.bottom] == [12, 60, 60, 108])
            #expect(answer.inferenceMs >= 0 && answer.decodingMs > 0 && answer.preprocessingMs > 0)
        }
    }

    @Test("A classifier is no detector, and a detector no classifier")
    func otherTask() async throws {
        try await withFolder { folder in
            let (store, maps) = try Self.store(in: folder)
            let detector = try store.model(named: ModelStoreTests.detector)
            let source = OneObject(maps: maps)
            let one = await sentence { _ = try await ImageClassifier(detector, source: source) }
            #expect(one.hasPrefix("unsupportedDocument") && one.contains("ImageDetector"))
            let classifier = try ModelStoreTests.store(in: folder.appending(path: "other"))
                .model(named: ModelStoreTests.stem)
            let other = await sentence { _ = try await ImageDetector(classifier, source: source) }
            #expect(other.hasPrefix("unsupportedDocument") && other.contains("ImageClassifier"))
        }
    }

    @Test("Maps of another size than the manifest's are an error, and so are missing ones")
    func otherMaps() async throws {
        try await withFolder { folder in
            let (store, maps) = try Self.store(in: folder)
            let model = try store.model(named: ModelStoreTests.detector)
            var small = maps
            small[3].shape = [4, 2, 1]
            for wrong in [small, Array(maps.dropFirst())] {
                let detector = try await ImageDetector(model, source: OneObject(maps: wrong))
                let error = await sentence { _ = try await detector.detect(ImageClassifierTests.gray()) }
                #expect(error.hasPrefix("runtimeFailure"))
            }
        }
    }

    @Test("Feature maps are run without a finding")
    func features() async throws {
        try await withFolder { folder in
            let (store, maps) = try Self.store(in: folder)
            let model = try store.model(named: ModelStoreTests.detector)
            var manifest = model.manifest
            (manifest.task, manifest.detection, manifest.labels) = (.features, nil, [])
            try Document(manifest).write(to: model.folder.appending(path: "\(model.id).manifest.json"))
            try write(Data(), to: model.folder.appending(path: "labels.txt"))
            let features = try await ImageModel(
                EmbeddedModel(folder: model.folder), source: OneObject(maps: maps))
            #expect(try await features.analyze(ImageClassifierTests.gray()).finding == .maps)
        }
    }
}

/// A gray picture that lies on its side in memory, of a height and width there.
private struct Turned: PictureSource {
    let height: Int
    let width: Int

    func withMemory<Value>(_ body: (PictureMemory) -> Value) throws(SHViTError) -> Value {
        let bytes = [UInt8](repeating: 7, count: height * width * 3)
        let result: Result<Value, SHViTError> = bytes.withUnsafeBytes { memory in
            Result { () throws(SHViTError) in
                body(
                    try PictureMemory(
                        memory, height: height, width: width, bytesPerRow: width * 3, layout: .rgb, orientation: 6))
            }
        }
        return try result.get()
    }
}

import Foundation
import Testing

@testable import SHViTKit

/// Tests with `schemas/fixtures/goldens`, whose pictures have the model's size, so that preprocessing keeps them.
struct GoldenCheckerTests {
    static let artifact = "8224a0af1dc4b82a0fe293f1256aff92d90b527fdca0e31fa2250c8db4efa6ba"
    static let folder = Repository.fixtures.appending(path: "goldens/shvit_s1-64-executorch-fp32.goldens")

    let set: GoldenSet

    init() throws {
        set = try GoldenSet(folder: Self.folder, of: Self.artifact)
    }

    @Test("A device that reproduces the goldens passes both parts")
    func passes() async throws {
        let outcome = try await GoldenChecker(set, decoder: set.knownPictures()).check(Oracle(set))
        #expect(outcome.passed)
        let record = outcome.record
        #expect(record.passed)
        #expect(record.pixelsDifference == 0)
        #expect(record.images == 3)
        #expect(record.sameClass == 3)
        // The stored logits are rounded to Float.
        #expect(record.largestDifference < 1e-6)
        #expect(record.sqnrDb > 120)
        #expect(outcome.sentences.allSatisfy { $0.contains("passed") })
    }

    @Test("Logits beyond the tolerance fail only inference")
    func inferenceIsOff() async throws {
        let off = try Oracle(set) { $0 + 0.01 }
        let outcome = try await GoldenChecker(set, decoder: set.knownPictures()).check(off)
        #expect(outcome.preprocessing.passed == true)
        #expect(!outcome.inference.passed)
        #expect(!outcome.passed)
        #expect(abs(outcome.inference.largestDifference - 0.01) < 1e-5)
        #expect(outcome.inference.sameClass == 3)
        #expect(outcome.sentences[0].contains("Preprocessing passed"))
        #expect(outcome.sentences[1].contains("Inference failed"))
        // 10 log10(power of the stored logits / 0.01^2).
        let logits = set.goldens.images.flatMap(\.logits)
        let power = logits.map { $0 * $0 }.reduce(0, +) / Double(logits.count)
        #expect(abs(outcome.inference.sqnrDb - 10 * log10(power / 1e-4)) < 0.01)
    }

    @Test("Logits within the tolerance pass")
    func withinTheTolerance() async throws {
        let near = try Oracle(set) { $0 - 0.0009 }
        #expect(try await GoldenChecker(set, decoder: set.knownPictures()).check(near).passed)
    }

    @Test("A different class is counted")
    func anotherClass() async throws {
        let turned = try Oracle(set) { -$0 }
        #expect(try await GoldenChecker(set, decoder: set.knownPictures()).check(turned).inference.sameClass == 0)
    }

    /// The goldens of the fixtures' detector, and the maps of its manifest.
    static func detector() throws -> (set: GoldenSet, maps: [Manifest.OutputMap]) {
        let folder = Repository.fixtures.appending(path: "goldens")
        let file = folder.appending(path: "\(ModelStoreTests.detector).manifest.json")
        let manifest = try Document<Manifest>(contentsOf: file).content
        let goldens = folder.appending(path: "\(ModelStoreTests.detector).goldens")
        return (try GoldenSet(folder: goldens, of: manifest.artifact.sha256), try #require(manifest.output.maps))
    }

    @Test("The maps of a detector are compared at the goldens' positions, and no class is")
    func maps() async throws {
        let (set, maps) = try Self.detector()
        let checker = try GoldenChecker(set, decoder: set.knownPictures())
        let outcome = try await checker.check(MapsOracle(set, maps: maps))
        #expect(outcome.passed)
        #expect(outcome.record.sameClass == nil)
        #expect(outcome.inference.sqnrDb > 100)
        #expect(outcome.sentences[1].contains("map's value") && !outcome.sentences[1].contains("class"))
    }

    @Test("Each map has a tolerance of its own, and the map that is furthest beyond its own is reported")
    func toleranceOfMaps() async throws {
        let (set, maps) = try Self.detector()
        let checker = try GoldenChecker(set, decoder: set.knownPictures())
        // 0.005 is half of the tolerance of scores16, 2.5 times that of boxes32, and 5 times that of boxes16.
        for (name, tolerance) in [("scores16", 0.01), ("boxes32", 0.002), ("boxes16", 0.001)] {
            let near = try MapsOracle(set, maps: maps) { $0 == name ? $1 + 0.005 : $1 }
            let inference = try await checker.check(near).inference
            #expect(inference.passed == (name == "scores16"))
            #expect(abs(inference.largestDifference - 0.005) < 1e-5)
            #expect(inference.tolerance == tolerance)
        }
        let all = try await checker.check(MapsOracle(set, maps: maps) { $1 + 0.005 }).inference
        #expect(all.tolerance == 0.001)
    }

    @Test("The SQNR is that of the map where it is lowest")
    func noiseOfMaps() async throws {
        let (set, maps) = try Self.detector()
        let off = try MapsOracle(set, maps: maps) { $0 == "boxes16" ? 0 : $1 }
        // All of the signal is lost: 0 dB.
        #expect(
            abs(try await GoldenChecker(set, decoder: set.knownPictures()).check(off).inference.sqnrDb) < 1e-6)
    }

    @Test("A map that is missing, too small or not finite is an error")
    func wrongMaps() async throws {
        let (set, maps) = try Self.detector()
        let checker = try GoldenChecker(set, decoder: set.knownPictures())
        var small = maps
        small[0].shape = [1, 4, 4]
        for wrong in [Array(maps.dropLast()), small] {
            let oracle = try MapsOracle(set, maps: wrong)
            #expect(await sentence { _ = try await checker.check(oracle) }.hasPrefix("artifactChanged"))
        }
        let infinite = try MapsOracle(set, maps: maps) { _, _ in .nan }
        #expect(await sentence { _ = try await checker.check(infinite) }.hasPrefix("runtimeFailure"))
    }

    @Test("Swapped colors fail only preprocessing")
    func preprocessingIsOff() async throws {
        let preprocessor = try Preprocessor(set.goldens.preprocessing)
        let checker = try GoldenChecker(set, decoder: set.knownPictures()) {
            preprocessor.pixels(of: $0).channelsReversed
        }
        let outcome = try await checker.check(Oracle(set))
        #expect(outcome.preprocessing.passed == false)
        #expect(outcome.inference.passed)
        #expect(outcome.record.passed == false)
        #expect(outcome.sentences[0].contains("Preprocessing failed"))
    }

    @Test("A picture that was decoded at reduced scale has a tolerance of its own")
    func reducedScale() async throws {
        // Two more in each value: within the tolerance of reduced scale, 2.5, and past the usual one, 1.5.
        let known = try set.knownPictures()
        @Sendable func decoder(_ reduction: Int) -> GoldenChecker.Decoder {
            { data in
                let picture = try known(data)
                let off = picture.bytes.map { $0 > 253 ? $0 - 2 : $0 + 2 }
                return RGBImage(picture.height, picture.width, off, reduction: reduction)
            }
        }
        let whole = try await GoldenChecker(set, decoder: decoder(1)).check(Oracle(set)).preprocessing
        #expect(!whole.passed)
        #expect(whole.tolerance == 1.5)
        let reduced = try await GoldenChecker(set, decoder: decoder(2)).check(Oracle(set)).preprocessing
        #expect(reduced.passed)
        #expect(reduced.tolerance == 2.5)
    }

    @Test("Goldens of version 1.0 have no tolerance for reduced scale, and later ones need it")
    func firstVersion() async throws {
        let line = #""reduced_pixels_tolerance": 2.5,"#
        let older = try await Self.rewritten {
            $0.replacing(line, with: "").replacing(#""schema_version": "1.2""#, with: #""schema_version": "1.0""#)
        }
        #expect(older.set.goldens.reducedPixelsTolerance == nil)
        try FileManager.default.removeItem(at: older.folder)
        await #expect(throws: SHViTError.self) { try await Self.rewritten { $0.replacing(line, with: "") } }
    }

    @Test("Pixels of another size have the largest difference")
    func anotherSize() async throws {
        let checker = try GoldenChecker(set, decoder: set.knownPictures()) {
            $0.cropped(top: 0, left: 0, height: 8, width: 8)
        }
        #expect(try await checker.check(Oracle(set)).preprocessing.difference == 255)
    }

    @Test("Equal logits have no noise")
    func infinite() async throws {
        // Multiples of 0.5, which Float represents exactly.
        let set = try await Self.rewritten { $0.replacing(/-?\d+\.\d+(?=[,\n])/) { _ in "0.5" } }
        let outcome = try await GoldenChecker(set.set, decoder: set.set.knownPictures()).check(Oracle(set.set))
        #expect(outcome.inference.sqnrDb == .infinity)
        try FileManager.default.removeItem(at: set.folder)
    }

    @Test("Invalid logits are an error")
    func noAnswer() async throws {
        let checker = try GoldenChecker(set, decoder: set.knownPictures())
        let nothing = Oracle(answers: [], classes: 3)
        #expect(await sentence { _ = try await checker.check(nothing) }.hasPrefix("artifactChanged"))
        let infinite = try Oracle(set) { _ in .infinity }
        #expect(await sentence { _ = try await checker.check(infinite) }.hasPrefix("runtimeFailure"))
    }

    @Test("Goldens of another artifact are rejected")
    func anotherArtifact() {
        let other = String(repeating: "0", count: 64)
        #expect(sentence { _ = try GoldenSet(folder: Self.folder, of: other) }.hasPrefix("artifactChanged"))
    }

    @Test("A damaged golden is rejected", arguments: ["0.jpg", "1.pixels.rgb"])
    func damaged(name: String) async throws {
        let copy = try await Self.rewritten { $0 }
        try Data("damaged".utf8).write(to: copy.folder.appending(path: name))
        let checker = try GoldenChecker(copy.set, decoder: set.knownPictures())
        let oracle = try Oracle(set)
        #expect(
            await sentence { _ = try await checker.check(oracle) }.hasPrefix("artifactChanged: The golden \(name) "))
        try FileManager.default.removeItem(at: copy.folder.appending(path: name))
        #expect(
            await sentence { _ = try await checker.check(oracle) }.hasPrefix("artifactChanged: The golden \(name) "))
        try FileManager.default.removeItem(at: copy.folder)
    }

    @Test("A cancelled check stops")
    func cancelled() async throws {
        let checker = try GoldenChecker(set, decoder: set.knownPictures())
        let oracle = try Oracle(set)
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await checker.check(oracle)
        }
        await #expect(throws: CancellationError.self) { _ = try await task.value }
    }

    /// Returns a copy of the goldens with an edited list.
    static func rewritten(_ change: (String) -> String) async throws -> (set: GoldenSet, folder: URL) {
        let copy = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).goldens")
        try FileManager.default.copyItem(at: folder, to: copy)
        let list = copy.appending(path: "goldens.json")
        try Data(change(String(contentsOf: list, encoding: .utf8)).utf8).write(to: list)
        return (try GoldenSet(folder: copy, of: artifact), copy)
    }
}

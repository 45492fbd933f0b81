import Foundation
import Testing

@testable import SHViTKit

struct ImageClassifierTests {
    /// Runs ExecuTorch's artifacts with a classifier of the test.
    static func runtime(_ source: any RunnerSource) -> ModelRuntime {
        ModelRuntime(.executorch) { _ in source }
    }

    static func gray(side: Int = 64) throws -> RGBImage {
        try RGBImage(height: side, width: side, bytes: [UInt8](repeating: 9, count: side * side * 3))
    }

    @Test("An embedded model is found by name, and a classification has labels and durations")
    func answer() async throws {
        try await withFolder { folder in
            let labels = (0..<10).map { "class \($0)" }.joined(separator: "\n")
            let store = try ModelStoreTests.store(in: folder, labels: labels)
            let golden = try #require(try store.model(named: ModelStoreTests.stem).goldens())
            let image = try #require(golden.goldens.images.first)
            let runtime = Self.runtime(OracleSource(oracle: try Oracle(golden)))
            let classifier = try await ImageClassifier(named: ModelStoreTests.stem, in: store, runtimes: [runtime])

            let answer = try await classifier.classify(golden.pixels(of: image))

            #expect(answer.predictions.count == 5)
            let best = try #require(largestIndex(image.logits))
            #expect(answer.predictions.first?.label == "class \(best)")
            #expect(answer.preprocessingMs > 0)
            #expect(answer.inferenceMs > 0)
            #expect(try await classifier.classify(golden.pixels(of: image), count: 2).predictions.count == 2)
        }
    }

    @Test("A model is compiled before loading, and its latency covers only the inference")
    func times() async throws {
        try await withFolder { folder in
            let model = try ModelStoreTests.store(in: folder).model(named: ModelStoreTests.stem)
            let clock = StandingClock()
            let source = TimedClassifier(
                clock, durations: [.milliseconds(7)], compiling: .milliseconds(100), classes: 10)
            let classifier = try await ImageClassifier(model, source: source, stopwatch: clock.stopwatch)
            #expect(clock.stopwatch.now() == .milliseconds(140))

            let answer = try await classifier.classify(Self.gray())

            #expect(answer.inferenceMs == 7)
            #expect(answer.preprocessingMs == 0)
        }
    }

    @Test(
        "A name that is not embedded is an error with the existing ones", arguments: ["absent", "..", ".", "", "a/b"])
    func absent(name: String) async throws {
        try await withFolder { folder in
            let store = try ModelStoreTests.store(in: folder.appending(path: "Models"))
            let error = await sentence { _ = try await ImageClassifier(named: name, in: store, runtimes: []) }
            #expect(error.hasPrefix("modelNotEmbedded"))
            #expect(error.contains(ModelStoreTests.stem))
        }
    }

    @Test("A model whose runtime the app does not link is an error")
    func otherRuntime() async throws {
        try await withFolder { folder in
            let store = try ModelStoreTests.store(in: folder)
            let coreML = ModelRuntime(.coreml) { _ in GridClassifier(classes: 10) }
            for runtimes in [[], [coreML]] {
                let error = await sentence {
                    _ = try await ImageClassifier(named: ModelStoreTests.stem, in: store, runtimes: runtimes)
                }
                #expect(error.hasPrefix("unsupportedDocument"))
            }
        }
    }

    @Test("A changed artifact is not loaded")
    func changed() async throws {
        try await withFolder { folder in
            let model = try ModelStoreTests.store(in: folder).model(named: ModelStoreTests.stem)
            try Data("others".utf8).write(to: model.artifact)
            let clock = StandingClock()
            let source = TimedClassifier(clock, durations: [.zero], compiling: .milliseconds(1))
            #expect(
                await sentence { _ = try await ImageClassifier(model, source: source) }.hasPrefix("artifactChanged"))
            #expect(clock.stopwatch.now() == .zero)
        }
    }

    @Test("Failures of the runtime and cancellations are cases of the kit's error")
    func failures() async throws {
        try await withFolder { folder in
            let model = try ModelStoreTests.store(in: folder).model(named: ModelStoreTests.stem)
            func error(of failing: Failing) async -> String {
                await sentence { _ = try await ImageClassifier(model, source: failing).classify(Self.gray()) }
            }
            let broken = CocoaError(.fileReadUnknown)
            #expect(await error(of: Failing(load: broken)).hasPrefix("runtimeFailure"))
            #expect(await error(of: Failing(inference: broken)).hasPrefix("runtimeFailure"))
            #expect(await error(of: Failing(load: CancellationError())).hasPrefix("cancelled"))
            #expect(await error(of: Failing(load: SHViTError.invalidSettings("No."))) == "invalidSettings: No.")
            #expect(await error(of: Failing(logits: [0, 1])).hasPrefix("runtimeFailure"))
            #expect(await error(of: Failing(logits: [Float](repeating: .nan, count: 10))).hasPrefix("runtimeFailure"))
            #expect(await error(of: Failing(logits: [Float](repeating: 1, count: 10))) == "no error")
        }
    }

    @Test("Several tasks may classify at the same time, pictures of different sizes too")
    func concurrent() async throws {
        try await withFolder { folder in
            let model = try ModelStoreTests.store(in: folder).model(named: ModelStoreTests.stem)
            let classifier = try await ImageClassifier(model, source: GridClassifier(classes: 10))
            let pictures = try (0..<8).map { try Self.gray(side: 64 + 16 * $0) }
            var alone: [[Prediction]] = []
            for picture in pictures { alone.append(try await classifier.classify(picture).predictions) }

            let together = try await withThrowingTaskGroup(of: (Int, [Prediction]).self) { group in
                for index in 0..<32 {
                    group.addTask { (index, try await classifier.classify(pictures[index % 8]).predictions) }
                }
                return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
            }

            for (index, predictions) in together { #expect(predictions == alone[index % 8]) }
        }
    }
}

struct SharedPoolTests {
    @Test("The pool changes its size only while no model is loaded")
    func sizes() throws {
        let sizes = Locked<[Int]>([])
        let pool = SharedPool { size in
            sizes.withLock { $0.append(size) }
            return true
        }
        try pool.enter(threads: 2)
        try pool.enter(threads: 2)
        #expect(sentence { try pool.enter(threads: 1) }.hasPrefix("invalidSettings"))
        pool.leave()
        #expect(sentence { try pool.enter(threads: 0) }.hasPrefix("invalidSettings"))
        pool.leave()
        try pool.enter(threads: 0)
        #expect(sizes.withLock { $0 } == [2, 0])
    }

    @Test("A number of threads that no pool has is an error, and no model counts as loaded")
    func impossible() throws {
        let pool = SharedPool { $0 == 0 }
        #expect(sentence { try pool.enter(threads: -1) }.hasPrefix("invalidSettings"))
        #expect(sentence { try pool.enter(threads: 3) }.hasPrefix("runtimeFailure"))
        try pool.enter(threads: 0)
    }
}

/// Loads a model that returns the goldens' logits.
private struct OracleSource: RunnerSource {
    let oracle: Oracle

    func load() async throws -> any Runner { oracle }
}

/// A runtime that fails to load or to run, or returns unusable logits.
private struct Failing: RunnerSource, PlainClassifier {
    var load: (any Error)?
    var inference: (any Error)?
    var logits: [Float] = []

    func load() async throws -> any Runner {
        if let load { throw load }
        return self
    }

    func logits(for pixels: RGBImage) async throws -> [Float] {
        if let inference { throw inference }
        return logits
    }
}

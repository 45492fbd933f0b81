import Foundation
import Testing

@testable import SHViTDemoCore
@testable import SHViTKit

/// Tests of the screens' models.
@MainActor
struct ScreensTests {
    static let sources: Benchmark.Sources = { GridClassifier(classes: $0.model.labels.count) }

    /// Returns the fixtures' model and a decoder of its goldens.
    static func model(in folder: URL) throws -> (EmbeddedModel, GoldenChecker.Decoder) {
        let model = try #require(ModelStoreTests.store(in: folder).listing().models.first)
        return (model, try #require(try model.goldens()).knownPictures())
    }

    @Test("The catalog starts with the first model that a phone can run")
    func catalog() async throws {
        try await withFolder { folder in
            _ = try ModelStoreTests.store(in: folder)
            try HeadlessRunTests.addCoreML(to: ModelStore(folder: folder))
            try write(Data("{}".utf8), to: folder.appending(path: "broken/broken.manifest.json"))
            let catalog = Catalog(store: ModelStore(folder: folder))
            #expect(catalog.problems.count == 1)
            #expect(catalog.models.map(\.id) == ["apple", ModelStoreTests.stem])
            #expect(catalog.chosen?.id == "apple on all processors")
            catalog.compute = .cpuAndGPU
            #expect(catalog.chosen?.id == "apple on CPU and GPU")
            // ExecuTorch runs on the CPU only.
            catalog.chosenName = ModelStoreTests.stem
            #expect(catalog.chosen?.compute == .cpu)
            catalog.chosenName = nil
            #expect(catalog.chosen == nil)
        }
        #expect(Catalog(store: ModelStore(folder: URL(filePath: "/nowhere"))).chosen == nil)
    }

    static func benchmark(
        in folder: URL, sources: @escaping Benchmark.Sources = ScreensTests.sources
    ) throws -> BenchmarkModel {
        let (model, decoder) = try Self.model(in: folder.appending(path: "Models"))
        let benchmark = Benchmark(probe: SilentPhone(), decoder: decoder, sources: sources)
        return BenchmarkModel(
            models: [model], benchmark: benchmark, about: { SimulatedRunTests.about }, documents: folder)
    }

    @Test("A benchmark measures the selected models and writes its report")
    func measured() async throws {
        try await withFolder { folder in
            let model = try Self.benchmark(in: folder)
            #expect(model.trials.map(\.compute) == [.cpu])
            #expect(!model.isRunning)
            (model.rounds, model.turn, model.isSustained, model.seconds) = (2, 0.01, true, 0)
            model.start()
            await model.waitUntilFinished()
            guard case .finished(let outcome, let place) = model.phase else { return #expect(Bool(false)) }
            #expect(outcome.failures.isEmpty)
            let report = try Document<DeviceReport>(contentsOf: try #require(place)).content
            #expect(report == outcome.report)
            #expect(report.results[0].samplesMs.count == 2)
            #expect(report.results[0].samplesMs.allSatisfy { $0.count >= 10 })
            model.chosen = []
            #expect(model.trials.isEmpty)
        }
    }

    /// A classifier whose first inference waits for a signal.
    final class Waiting: PlainClassifier, RunnerSource {
        let (isAsked, ask) = AsyncStream.makeStream(of: Void.self)
        let (isTold, tell) = AsyncStream.makeStream(of: Void.self)

        func load() async throws -> any Runner { self }

        func logits(for pixels: RGBImage) async throws -> [Float] {
            ask.yield()
            for await _ in isTold { break }
            return [Float](repeating: 0, count: 10)
        }
    }

    @Test("A cancelled benchmark can be started again, and leaving the app is an error")
    func cancelled() async throws {
        try await withFolder { folder in
            for isInterrupted in [false, true] {
                let runtime = Waiting()
                let place = folder.appending(path: "\(isInterrupted)")
                let model = try Self.benchmark(in: place) { _ in runtime }
                model.start()
                for await _ in runtime.isAsked { break }
                #expect(model.isRunning)
                // An alert over the app changes nothing.
                model.follow(.inactive)
                #expect(model.isRunning)
                if isInterrupted { model.follow(.background) } else { model.cancel() }
                runtime.tell.finish()
                await model.waitUntilFinished()
                if isInterrupted {
                    guard case .failed(let error) = model.phase else { return #expect(Bool(false)) }
                    #expect(Wording.reason(error).contains("left the screen"))
                } else {
                    guard case .ready = model.phase else { return #expect(Bool(false)) }
                    model.follow(.background)
                    guard case .ready = model.phase else { return #expect(Bool(false)) }
                }
                #expect(!FileManager.default.fileExists(atPath: place.appending(path: "report.json").path))
            }
        }
    }

    @Test("A cancelled run that ends late changes nothing of the run after it")
    func identity() async throws {
        try await withFolder { folder in
            let (first, second) = (Waiting(), Waiting())
            let runtimes = Locked<[Waiting]>([first, second])
            let model = try Self.benchmark(in: folder) { _ in runtimes.withLock { $0.removeFirst() } }
            (model.rounds, model.turn) = (1, 0.01)
            model.start()
            for await _ in first.isAsked { break }
            model.follow(.background)
            model.start()
            #expect(model.isRunning)
            first.tell.finish()
            for await _ in second.isAsked { break }
            #expect(model.isRunning)
            second.tell.finish()
            await model.waitUntilFinished()
            guard case .finished(let outcome, _) = model.phase else { return #expect(Bool(false)) }
            #expect(outcome.report?.results.count == 1)
        }
    }

    @Test("A report that cannot be written is an error")
    func unwritable() async throws {
        try await withFolder { folder in
            let model = try Self.benchmark(in: folder)
            try FileManager.default.createDirectory(
                at: folder.appending(path: "report.json/inside"), withIntermediateDirectories: true)
            (model.rounds, model.turn) = (1, 0.01)
            model.start()
            await model.waitUntilFinished()
            guard case .failed(let error) = model.phase else { return #expect(Bool(false)) }
            #expect(Wording.reason(error).contains("report.json cannot be written"))
        }
    }

    @Test("Choosing another model drops the golden check's result")
    func goldens() async throws {
        try await withFolder { folder in
            let (model, decoder) = try Self.model(in: folder)
            let goldens = GoldenModel(decoder: { _ in decoder }, sources: Self.sources)
            goldens.start(Trial(model, compute: .cpu))
            await goldens.waitUntilFinished()
            guard case .checked(let outcome) = goldens.phase else { return #expect(Bool(false)) }
            #expect(outcome.preprocessing.passed)
            #expect(!outcome.inference.passed)
            goldens.reset()
            guard case .ready = goldens.phase else { return #expect(Bool(false)) }
        }
    }

    @Test("A damaged artifact is an error, and so are missing goldens")
    func goldensFail() async throws {
        try await withFolder { folder in
            let (first, decoder) = try Self.model(in: folder)
            var model = first
            try Data("other".utf8).write(to: model.artifact)
            let goldens = GoldenModel(decoder: { _ in decoder }, sources: Self.sources)
            goldens.start(Trial(model, compute: .cpu))
            await goldens.waitUntilFinished()
            guard case .failed(let error) = goldens.phase else { return #expect(Bool(false)) }
            #expect(Wording.reason(error).contains("not the artifact"))

            try ModelStoreTests.program.write(to: model.artifact)
            let file = model.folder.appending(path: "\(model.id).manifest.json")
            var manifest = try Document<Manifest>(contentsOf: file)
            manifest.content.goldens = nil
            try manifest.write(to: file)
            model = try EmbeddedModel(folder: model.folder)
            goldens.start(Trial(model, compute: .cpu))
            await goldens.waitUntilFinished()
            guard case .failed(let other) = goldens.phase else { return #expect(Bool(false)) }
            #expect(Wording.reason(other).contains("has no goldens"))
        }
    }

    @Test("A photo is analyzed, and one that cannot be read or decoded is an error")
    func photo() async throws {
        try await withFolder { folder in
            let (model, decoder) = try Self.model(in: folder)
            let trial = Trial(model, compute: .cpu)
            let goldens = try #require(try model.goldens())
            let picture = try goldens.picture(of: goldens.goldens.images[0])
            let photo = PhotoModel(decoder: { _ in decoder }, sources: Self.sources)
            guard case .empty = photo.phase else { return #expect(Bool(false)) }
            await photo.analyze(with: trial) { picture }
            guard case .analyzed(let answer) = photo.phase else { return #expect(Bool(false)) }
            guard case .classes(let predictions) = answer.finding else { return #expect(Bool(false)) }
            #expect(predictions.count == 5)
            #expect(photo.photo == picture)
            #expect(photo.reduction == 1)

            let reducing = PhotoModel(
                decoder: { preprocessing in
                    #expect(preprocessing == model.manifest.preprocessing)
                    return { data in
                        let whole = try decoder(data)
                        return RGBImage(whole.height, whole.width, whole.bytes, reduction: 4)
                    }
                }, sources: Self.sources)
            await reducing.analyze(with: trial) { picture }
            #expect(reducing.reduction == 4)

            await photo.analyze(with: trial) { nil }
            guard case .failed(let nothing) = photo.phase else { return #expect(Bool(false)) }
            #expect(Wording.reason(nothing).contains("The photo cannot be read."))
            #expect(photo.photo == nil)
            await photo.analyze(with: trial) { Data("no picture".utf8) }
            guard case .failed(let unknown) = photo.phase else { return #expect(Bool(false)) }
            #expect(Wording.reason(unknown).contains("not known"))
        }
    }

    @Test("A detector's boxes are in pixels of the photo, and feature maps are not shown")
    func photoOfObjects() async throws {
        try await withFolder { folder in
            let model = try ModelStoreTests.store(in: folder, stem: ModelStoreTests.detector)
                .model(named: ModelStoreTests.detector)
            let large = try RGBImage(height: 96, width: 144, bytes: [UInt8](repeating: 9, count: 96 * 144 * 3))
            let photo = PhotoModel(decoder: { _ in { _ in large } }) { _ in
                OneObject(maps: try #require(model.manifest.output.maps))
            }
            await photo.analyze(with: Trial(model, compute: .cpu)) { Data() }
            guard case .analyzed(let analysis) = photo.phase else { return #expect(Bool(false)) }
            guard case .objects(let objects) = analysis.finding else { return #expect(Bool(false)) }
            #expect(analysis.placement == PicturePlacement(width: 144, height: 96))
            #expect(objects.map(\.label) == ["dog"])
            // In the model's input from (8, 24) to (40, 56), of which the picture's middle, 96 pixels wide, is 64.
            let box = try #require(objects.first).box
            #expect([box.left, box.top, box.right, box.bottom] == [36, 36, 84, 84])

            var manifest = model.manifest
            (manifest.task, manifest.detection) = (.features, nil)
            let file = model.folder.appending(path: "\(model.id).manifest.json")
            try Document(manifest).write(to: file)
            await photo.analyze(with: Trial(try EmbeddedModel(folder: model.folder), compute: .all)) { Data() }
            guard case .failed(let error) = photo.phase else { return #expect(Bool(false)) }
            #expect(Wording.reason(error).contains("gives feature maps"))
        }
    }

    @Test("Photos after the first use the loaded model, until the system needs its memory")
    func photoModelIsLoadedOnce() async throws {
        try await withFolder { folder in
            let (model, decoder) = try Self.model(in: folder)
            let goldens = try #require(try model.goldens())
            let picture = try goldens.picture(of: goldens.goldens.images[0])
            let loads = Locked(0)
            let photo = PhotoModel(decoder: { _ in decoder }) { trial in
                loads.withLock { $0 += 1 }
                return GridClassifier(classes: trial.model.labels.count)
            }
            for _ in 0..<2 { await photo.analyze(with: Trial(model, compute: .cpu)) { picture } }
            #expect(loads.withLock { $0 } == 1)
            photo.free()
            await photo.analyze(with: Trial(model, compute: .cpu)) { picture }
            await photo.analyze(with: Trial(model, compute: .all)) { picture }
            #expect(loads.withLock { $0 } == 3)
        }
    }

    @Test("A photo that is no longer selected shows nothing")
    func photoGone() async throws {
        try await withFolder { folder in
            let (model, decoder) = try Self.model(in: folder)
            let photo = PhotoModel(decoder: { _ in decoder }, sources: Self.sources)
            let task = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                await photo.analyze(with: Trial(model, compute: .cpu)) { throw CancellationError() }
            }
            await task.value
            guard case .working = photo.phase else { return #expect(Bool(false)) }
        }
    }

    @Test("Launch arguments select screens, benchmark or error")
    func launch() {
        guard case .byHand = Launch(arguments: []) else { return #expect(Bool(false)) }
        guard case .headless(let request) = Launch(arguments: ["-benchmark", "all", "-iterations", "3"]) else {
            return #expect(Bool(false))
        }
        #expect(request.plan.turn == .iterations(3))
        guard case .refused(let error) = Launch(arguments: ["-benchmark"]) else { return #expect(Bool(false)) }
        #expect(caseName(error) == "invalidSettings")
    }
}

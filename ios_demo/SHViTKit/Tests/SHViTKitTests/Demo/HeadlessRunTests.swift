import Foundation
import Testing

@testable import SHViTDemoCore
@testable import SHViTKit

/// Tests of `-benchmark all`, with a model in pure Swift behind every artifact.
struct HeadlessRunTests {
    static let about = Profiler.About(
        name: "SHViTDemo", info: ["CFBundleShortVersionString": "1.2", "CFBundleVersion": "3"],
        device: .init(kind: .host, model: "simulated", system: "iOS 18.3", cores: 1), executorch: "1.4.1")

    /// Adds a copy of the store's model named "apple", whose manifest names Core ML as target.
    static func addCoreML(to store: ModelStore) throws {
        let model = try #require(store.listing().models.first)
        let folder = store.folder.appending(path: "apple")
        try FileManager.default.copyItem(at: model.folder, to: folder)
        var manifest = try Document<Manifest>(contentsOf: folder.appending(path: "\(model.id).manifest.json"))
        manifest.content.target = .coreml
        manifest.content.delegation = nil
        try manifest.write(to: folder.appending(path: "apple.manifest.json"))
    }

    /// Returns a decoder of the fixtures' pictures.
    static func decoder() throws -> GoldenChecker.Decoder {
        try GoldenSet(folder: GoldenCheckerTests.folder, of: GoldenCheckerTests.artifact).knownPictures()
    }

    /// Runs a benchmark and returns its exit status and output.
    static func run(
        _ line: String, in folder: URL,
        sources: @escaping Benchmark.Sources = { GridClassifier(classes: $0.model.labels.count) }
    ) async throws -> (status: HeadlessRun.ExitStatus, output: [String]) {
        let request = try #require(try BenchmarkRequestTests.parsed(line))
        let output = Locked<[String]>([])
        let run = HeadlessRun(
            store: ModelStore(folder: folder.appending(path: "Models")), documents: folder,
            benchmark: Benchmark(probe: SilentPhone(), decoder: try decoder(), sources: sources), about: about,
            log: { line in output.withLock { $0.append(line) } })
        return (await run.run(request), output.withLock { $0 })
    }

    @Test("The benchmark measures all models and writes the report")
    func done() async throws {
        try await withFolder { folder in
            _ = try ModelStoreTests.store(in: folder.appending(path: "Models"))
            let (status, output) = try await Self.run(
                "-benchmark all -warm-up 0 -iterations 3 -rounds 2 -output one.json", in: folder)
            #expect(status == .done)
            let place = folder.appending(path: "one.json")
            let report = try Document<DeviceReport>(contentsOf: place).content
            #expect(report.results.map(\.artifactSha256) == [Fingerprint.sha256(of: ModelStoreTests.program)])
            #expect(report.results.allSatisfy { $0.latency.samples == 6 && $0.engine == "ExecuTorch 1.4.1 (XNNPACK)" })
            #expect(report.app == "SHViTDemo 1.2 (3) for iOS")
            #expect(
                report.versions == [
                    "ios": "iOS 18.3", "executorch": "1.4.1", "shvit-kit": SHViTKitVersion.text,
                    "shvit-mobile": "0.1.0",
                ])
            // ExecuTorch chooses the number of threads, so none is reported.
            #expect(report.settings.threads == nil && report.results.allSatisfy { $0.threads == nil })
            #expect(output.count { !$0.contains("% ") } == 2)
            #expect(output.last == "Report: \(place.path)")
        }
    }

    @Test("A model that cannot be loaded does not stop the others, and the exit status is 1")
    func failed() async throws {
        try await withFolder { folder in
            let store = try ModelStoreTests.store(in: folder.appending(path: "Models"))
            try Self.addCoreML(to: store)
            let (status, output) = try await Self.run(
                "-benchmark all -compute cpu,all -warm-up 0 -iterations 1 -rounds 2", in: folder
            ) {
                trial in
                guard trial.compute == .cpu else { throw SHViTError.runtimeFailure("There is no GPU.") }
                return GridClassifier(classes: trial.model.labels.count)
            }
            #expect(status == .failed)
            #expect(output.contains("error: apple on all processors: There is no GPU."))
            let report = try Document<DeviceReport>(contentsOf: folder.appending(path: "report.json")).content
            #expect(report.results.map(\.engine) == ["Core ML", "ExecuTorch 1.4.1 (XNNPACK)"])
        }
    }

    @Test("A damaged artifact is not measured, and without results there is no report")
    func damaged() async throws {
        try await withFolder { folder in
            let store = try ModelStoreTests.store(in: folder.appending(path: "Models"))
            try Data("others".utf8).write(to: try #require(store.listing().models.first).artifact)
            let (status, output) = try await Self.run("-benchmark all -warm-up 0 -iterations 1 -rounds 2", in: folder)
            #expect(status == .failed)
            #expect(output.count == 1)
            #expect(output.first?.contains("not the artifact that its manifest describes") == true)
            #expect(!FileManager.default.fileExists(atPath: folder.appending(path: "report.json").path))
        }
    }

    @Test("Unknown models are invalid input, and unusable folders are reported")
    func wrongInput() async throws {
        try await withFolder { folder in
            _ = try ModelStoreTests.store(in: folder.appending(path: "Models"))
            try write(Data("{}".utf8), to: folder.appending(path: "Models/broken/broken.manifest.json"))
            let (status, output) = try await Self.run("-benchmark absent", in: folder)
            #expect(status == .wrongInput)
            #expect(output.count { !$0.contains("% ") } == 2)
            #expect(output.last?.contains("There is no model absent.") == true)
            let all = try await Self.run("-benchmark all -warm-up 0 -iterations 1 -rounds 2", in: folder)
            #expect(all.status == .failed)
        }
    }

    @Test("A report that cannot be written is an error")
    func unwritable() async throws {
        try await withFolder { folder in
            _ = try ModelStoreTests.store(in: folder.appending(path: "Models"))
            try FileManager.default.createDirectory(
                at: folder.appending(path: "report.json/inside"), withIntermediateDirectories: true)
            let (status, output) = try await Self.run("-benchmark all -warm-up 0 -iterations 1 -rounds 2", in: folder)
            #expect(status == .failed)
            #expect(output.last?.hasPrefix("error: ") == true)
        }
    }

    @Test("A cancelled benchmark stops without a report")
    func cancelled() async throws {
        try await withFolder { folder in
            let model = try #require(ModelStoreTests.store(in: folder).listing().models.first)
            let benchmark = Benchmark(probe: SilentPhone(), decoder: try Self.decoder()) {
                GridClassifier(classes: $0.model.labels.count)
            }
            let plan = try Profiler.Plan(turn: .seconds(3600))
            let task = Task {
                try await benchmark.measure([Trial(model, compute: .cpu)], plan: plan, about: Self.about)
            }
            task.cancel()
            await #expect(throws: CancellationError.self) { _ = try await task.value }
        }
    }

    @Test("The test picture has the model's size and many colors")
    func gradient() throws {
        let picture = try Benchmark.gradient(height: 2, width: 4)
        #expect(picture.bytes.prefix(6) == [0, 0, 128, 63, 0, 128])
        #expect(picture.bytes.suffix(3) == [191, 127, 128])
    }

    @Test("A benchmark tells its progress, and one whose app leaves the screen ends with status 1 and no report")
    @MainActor
    func left() async throws {
        try await withFolder { folder in
            _ = try ModelStoreTests.store(in: folder.appending(path: "Models"))
            let (_, output) = try await Self.run("-benchmark all -warm-up 0 -iterations 3 -rounds 2", in: folder)
            #expect(output.first?.hasPrefix("0% ") == true)
            #expect(output.contains { $0.hasPrefix("100% ") })
            try FileManager.default.removeItem(at: folder.appending(path: "report.json"))

            let runtime = ScreensTests.Waiting()
            let (result, statuses) = (Locked<[String]>([]), Locked<[Int32]>([]))
            let model = HeadlessModel(
                run: {
                    let run = try? await Self.run("-benchmark all", in: folder) { _ in runtime }
                    result.withLock { $0 = run?.output ?? [] }
                    return run?.status ?? .wrongInput
                }, exit: { status in statuses.withLock { $0.append(status) } })
            model.start()
            model.start()
            for await _ in runtime.isAsked { break }
            model.follow(.background)
            runtime.tell.finish()
            await model.waitUntilFinished()
            #expect(statuses.withLock { $0 } == [1])
            #expect(result.withLock { $0 }.last?.contains("left the screen") == true)
            #expect(!FileManager.default.fileExists(atPath: folder.appending(path: "report.json").path))
        }
    }
}

import Foundation
import Testing

@testable import SHViTDemoCore
@testable import SHViTKit

/// The job of `-benchmark all`, with a model in pure Swift behind every artifact.
struct HeadlessRunTests {
    static let about = Profiler.About(
        app: "SHViTDemo 1.0 (1)", versions: ["swift": "6"],
        device: .init(kind: .host, model: "simulated", system: "simulated", cores: 1))

    /// What a run ended with, and what it said.
    static func run(
        _ line: String, in folder: URL,
        sources: @escaping Benchmark.Sources = { GridClassifier(classes: $0.model.labels.count) }
    ) async throws -> (status: HeadlessRun.ExitStatus, said: [String]) {
        let request = try #require(try BenchmarkRequestTests.parsed(line))
        let said = Locked<[String]>([])
        let run = HeadlessRun(
            store: ModelStore(folder: folder.appending(path: "Models")), documents: folder,
            benchmark: Benchmark(probe: SilentPhone(), decoder: nil, sources: sources), about: about,
            say: { line in said.withLock { $0.append(line) } })
        return (await run.run(request), said.withLock { $0 })
    }

    @Test("All models are measured, on each number of threads, and the report is written")
    func done() async throws {
        try await withFolder { folder in
            _ = try ModelStoreTests.store(in: folder.appending(path: "Models"))
            let (status, said) = try await Self.run("-benchmark all -iterations 3 -output one.json", in: folder)
            #expect(status == .done)
            let place = folder.appending(path: "one.json")
            let report = try Document<DeviceReport>(contentsOf: place).content
            #expect(report.results.map(\.threads) == [1, 2])
            #expect(report.results.allSatisfy { $0.latency.samples == 3 && $0.engine == "ExecuTorch" })
            #expect(said.count == 3)
            #expect(said.last == "The report is in \(place.path)")
        }
    }

    @Test("One that cannot be loaded does not stop the others, and the status tells")
    func failed() async throws {
        try await withFolder { folder in
            _ = try ModelStoreTests.store(in: folder.appending(path: "Models"))
            let (status, said) = try await Self.run("-benchmark all -iterations 1", in: folder) { trial in
                guard trial.threads == 1 else { throw SHViTError("Too many threads.") }
                return GridClassifier(classes: trial.model.labels.count)
            }
            #expect(status == .failed)
            #expect(said.first == "error: \(ModelStoreTests.stem) on CPU, 2 threads: Too many threads.")
            let report = try Document<DeviceReport>(contentsOf: folder.appending(path: "report.json")).content
            #expect(report.results.map(\.threads) == [1])
        }
    }

    @Test("A damaged artifact is not measured, and no report is written of nothing")
    func damaged() async throws {
        try await withFolder { folder in
            let store = try ModelStoreTests.store(in: folder.appending(path: "Models"))
            try Data("others".utf8).write(to: try #require(store.listing().models.first).artifact)
            let (status, said) = try await Self.run("-benchmark all -iterations 1", in: folder)
            #expect(status == .failed)
            #expect(said.count == 2)
            #expect(said.allSatisfy { $0.contains("not the artifact that its manifest describes") })
            #expect(!FileManager.default.fileExists(atPath: folder.appending(path: "report.json").path))
        }
    }

    @Test("Arguments that fit nothing end as wrong input; a folder that holds no model is said")
    func wrongInput() async throws {
        try await withFolder { folder in
            _ = try ModelStoreTests.store(in: folder.appending(path: "Models"))
            try write(Data("{}".utf8), to: folder.appending(path: "Models/broken/broken.manifest.json"))
            let (status, said) = try await Self.run("-benchmark absent", in: folder)
            #expect(status == .wrongInput)
            #expect(said.count == 2)
            #expect(said.last?.contains("There is no model absent.") == true)
            let all = try await Self.run("-benchmark all -iterations 1", in: folder)
            #expect(all.status == .failed)
        }
    }

    @Test("A report that cannot be written is said")
    func unwritable() async throws {
        try await withFolder { folder in
            _ = try ModelStoreTests.store(in: folder.appending(path: "Models"))
            try FileManager.default.createDirectory(
                at: folder.appending(path: "report.json/inside"), withIntermediateDirectories: true)
            let (status, said) = try await Self.run("-benchmark all -iterations 1", in: folder)
            #expect(status == .failed)
            #expect(said.last?.hasPrefix("error: ") == true)
        }
    }

    @Test("A benchmark that is cancelled ends at once, without a report")
    func cancelled() async throws {
        try await withFolder { folder in
            let model = try #require(ModelStoreTests.store(in: folder).listing().models.first)
            let benchmark = Benchmark(probe: SilentPhone(), decoder: nil) {
                GridClassifier(classes: $0.model.labels.count)
            }
            let plan = try Profiler.Plan(extent: .seconds(3600))
            let task = Task {
                try await benchmark.measure([Trial(model, compute: .cpu, threads: 1)], plan: plan, about: Self.about)
            }
            task.cancel()
            await #expect(throws: CancellationError.self) { _ = try await task.value }
        }
    }

    @Test("The picture that models are timed with has all shades, and the model's size")
    func gradient() throws {
        let picture = try Benchmark.gradient(height: 2, width: 4)
        #expect(picture.bytes.prefix(6) == [0, 0, 128, 63, 0, 128])
        #expect(picture.bytes.suffix(3) == [191, 127, 128])
    }
}

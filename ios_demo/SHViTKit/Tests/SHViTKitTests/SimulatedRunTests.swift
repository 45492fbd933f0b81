import Foundation
import Testing

@testable import SHViTDemoCore
@testable import SHViTKit

/// Tests of a whole run with a model in pure Swift: embedded files, goldens, profiler, report.
struct SimulatedRunTests {
    @Test("A simulated run writes a valid report, and another model fails the golden check")
    func report() async throws {
        try await withFolder { folder in
            let model = try #require(ModelStoreTests.store(in: folder).listing().models.first)
            let goldens = try #require(try model.goldens())
            let contestant = Contestant(
                model, engine: "Swift", compute: .cpu, source: GridClassifier(classes: model.labels.count),
                pixels: try goldens.pixels(of: goldens.goldens.images[0]),
                goldens: try GoldenChecker(goldens, decoder: goldens.knownPictures()))
            let plan = try Profiler.Plan(
                warmUp: .iterations(1), turn: .iterations(3), rounds: 2, sustained: 0.3, window: 0.1)

            let outcome = try await Profiler(plan, probe: WarmingPhone()).measure([contestant], about: Self.about)

            let report = try #require(outcome.report)
            let result = try #require(report.results.first)
            #expect(result.artifactSha256 == model.manifest.artifact.sha256)
            #expect(result.samplesMs.map(\.count) == [3, 3])
            #expect(!result.windows.isEmpty)
            #expect(result.golden?.inferencePassed == false)
            #expect(result.golden?.preprocessingPassed == true)

            let place = folder.appending(path: "report.json")
            try Document(report).write(to: place)
            #expect(try Document<DeviceReport>(contentsOf: place).content == report)
        }
    }

    static let about = Profiler.About(
        name: "SHViTDemo", info: [:], device: .init(model: "simulated", system: "simulated", cores: 1),
        executorch: "1.4.1")

    /// The slowdown of each report against the earliest one.
    static let slowdowns = ["earlier": 1.0, "now": 1.01, "slower": 1.2]

    @Test("The benchmark's reports are written to SHVIT_REPORTS for the check in Python")
    func embedded() async throws {
        guard let folder = ProcessInfo.processInfo.environment["SHVIT_REPORTS"] else { return }
        let decoder = try #require(EmbeddedModelsTests.decoder(), "SHVIT_PICTURES is not set")
        let trials = Trial.all(of: try EmbeddedModelsTests.models(), computes: DeviceReport.Compute.allCases)
        for (name, slowdown) in Self.slowdowns {
            let clock = StandingClock()
            let benchmark = Benchmark(probe: WarmingPhone(), decoder: decoder, stopwatch: clock.stopwatch) { trial in
                SimulatedRuntime(model: trial.model, milliseconds: slowdown * Double(5 + trial.id.count), clock: clock)
            }
            let plan = try Profiler.Plan(warmUp: .seconds(0.1), turn: .seconds(0.3), sustained: 3, window: 1)

            let outcome = try await benchmark.measure(trials, plan: plan, about: Self.about)

            #expect(outcome.failures.isEmpty)
            var report = try #require(outcome.report)
            #expect(report.results.count == trials.count)
            #expect(report.results.allSatisfy { $0.golden?.passed == true && $0.windows.count == 3 })
            // A simulated clock measures, and this is not a phone.
            report.fixture = true
            let place = URL(filePath: folder).appending(path: "\(name).json")
            try write(Document(report).json(), to: place)
        }
    }

    @Test("A report that violates its schema is not written")
    func refused() async throws {
        try await withFolder { folder in
            let place = folder.appending(path: "report.json")
            let report = DeviceReport(
                created: "2025-02-14T09:41:00+01:00", app: "Tests", versions: [:],
                device: .init(model: "iPhone16,1", system: "iOS 18.3", cores: 6),
                settings: .init(warmUp: 0, iterations: 1), conditions: .init(battery: 1.5), results: [])
            let message = sentence { try Document(report).write(to: place) }
            #expect(message.hasPrefix("invalidDocument") && message.contains("conditions.battery is 1.5, out of range"))
            #expect(!FileManager.default.fileExists(atPath: place.path))
        }
    }
}

/// A simulated runtime: returns the goldens' logits and advances a clock.
private struct SimulatedRuntime: RunnerSource {
    let model: EmbeddedModel
    let milliseconds: Double
    let clock: StandingClock

    func load() async throws -> any Runner {
        let goldens = try #require(try model.goldens())
        clock.add(.milliseconds(40))
        return Simulated(oracle: try Oracle(goldens), milliseconds: milliseconds, clock: clock)
    }

    private final class Simulated: PlainClassifier {
        let oracle: Oracle
        let milliseconds: Double
        let clock: StandingClock
        private let count = Locked(0)

        init(oracle: Oracle, milliseconds: Double, clock: StandingClock) {
            self.oracle = oracle
            self.milliseconds = milliseconds
            self.clock = clock
        }

        func logits(for pixels: RGBImage) async throws -> [Float] {
            let index = count.withLock { count in
                count += 1
                return count
            }
            // Within 1% of each other, independent of the rounds.
            clock.add(.milliseconds(milliseconds * (1 + Double(index * 7919 % 101) / 10_000)))
            return try await oracle.logits(for: pixels)
        }
    }
}

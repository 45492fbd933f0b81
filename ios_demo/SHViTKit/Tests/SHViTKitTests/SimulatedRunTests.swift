import Foundation
import Testing

@testable import SHViTKit

/// The whole job with a model in pure Swift: embedded files, goldens, profiler, report.
struct SimulatedRunTests {
    @Test("A simulated run gives a report that is read again; Python reads it too, where SHVIT_REPORT says")
    func report() async throws {
        try await withFolder { folder in
            let model = try #require(ModelStoreTests.store(in: folder).listing().models.first)
            let goldens = try #require(try model.goldens())
            let decoder: GoldenChecker.Decoder = { _ in try goldens.pixels(of: goldens.goldens.images[0]) }
            let contestant = Contestant(
                model, engine: "Swift", compute: .cpu, source: GridClassifier(classes: model.labels.count),
                pixels: try goldens.pixels(of: goldens.goldens.images[0]),
                goldens: try GoldenChecker(goldens, decoder: decoder))
            let about = Profiler.About(
                app: "SHViTKit tests 1.0 (1)", versions: ["swift": "6"],
                device: .init(kind: .host, model: "simulated", system: "simulated", cores: 1))
            let plan = try Profiler.Plan(warmUp: 1, extent: .seconds(0.5), window: 0.2)

            let outcome = try await Profiler(plan, probe: WarmingPhone()).measure([contestant], about: about)

            var report = try #require(outcome.report)
            // The model is none that was exported, and this is no phone.
            report.fixture = true
            let result = try #require(report.results.first)
            #expect(result.artifactSha256 == model.manifest.artifact.sha256)
            #expect(result.windows.map(\.samples).reduce(0, +) == result.latency.samples)
            // It is another model than the one whose goldens these are, and the check says so.
            #expect(result.golden?.inferencePassed == false)
            #expect(result.golden?.preprocessingPassed == false)

            let place = folder.appending(path: "report.json")
            try Document(report).write(to: place)
            #expect(try Document<DeviceReport>(contentsOf: place).content == report)
            if let wanted = ProcessInfo.processInfo.environment["SHVIT_REPORT"] {
                try Document(report).write(to: URL(filePath: wanted))
            }
        }
    }

    @Test("A report that its schema refuses is not written")
    func refused() async throws {
        try await withFolder { folder in
            let place = folder.appending(path: "report.json")
            let report = DeviceReport(
                created: "2025-02-14T09:41:00+01:00", app: "Tests", versions: [:],
                device: .init(model: "iPhone16,1", system: "iOS 18.3", cores: 6),
                settings: .init(warmUp: 0, iterations: 1), conditions: .init(battery: 1.5), results: [])
            let told = sentence { try Document(report).write(to: place) }
            #expect(told.contains("conditions.battery is 1.5, out of its bounds"))
            #expect(!FileManager.default.fileExists(atPath: place.path))
        }
    }
}

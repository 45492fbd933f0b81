import Foundation
import SHViTDemoCore
import Testing

@testable import SHViTKit

/// Tests of a benchmark that `shvit-mobile phone` starts and follows.
struct RunLogTests {
    @Test("Every line names the run and is a single line")
    func lines() {
        let lines = Locked<[String]>([])
        let write: @Sendable (String) -> Void = { line in lines.withLock { $0.append(line) } }
        RunLog(runId: "r-1", write: write).log("error: What.\n Why.\n\nNext.")
        RunLog(runId: nil, write: write).log("40% a.pte")
        #expect(lines.withLock { $0 } == ["[r-1] error: What. Why. Next.", "40% a.pte"])
    }

    @Test("A run with an identity writes the report of that name")
    func request() throws {
        #expect(try #require(try BenchmarkRequestTests.parsed("-benchmark all")).runId == nil)
        let named = try #require(try BenchmarkRequestTests.parsed("-benchmark all -run-id r-1"))
        #expect(named.runId == "r-1")
        #expect(named.output == "r-1.json")
        let both = try #require(try BenchmarkRequestTests.parsed("-benchmark all -run-id r-1 -output one.json"))
        #expect(both.output == "one.json")
        for invalid in ["../r", ".r", "r/1", "é", String(repeating: "a", count: 65)] {
            let message = sentence { _ = try BenchmarkRequestTests.parsed("-benchmark all -run-id \(invalid)") }
            #expect(message.hasPrefix("invalidSettings: -run-id is \(invalid)"))
        }
    }

    @Test("The report contains the identity of the run, and reads it again")
    func report() async throws {
        try await withFolder { folder in
            let model = try #require(ModelStoreTests.store(in: folder).listing().models.first)
            var about = HeadlessRunTests.about
            about.runId = "r-1"
            let benchmark = Benchmark(probe: SilentPhone(), decoder: try HeadlessRunTests.decoder()) {
                GridClassifier(classes: $0.model.labels.count)
            }
            let plan = try Profiler.Plan(warmUp: .iterations(0), turn: .iterations(1), rounds: 1)
            let outcome = try await benchmark.measure([Trial(model, compute: .cpu)], plan: plan, about: about)
            let file = folder.appending(path: "r-1.json")
            try Document(try #require(outcome.report)).write(to: file)
            #expect(try Document<DeviceReport>(contentsOf: file).content.runId == "r-1")
            #expect(try String(contentsOf: file, encoding: .utf8).contains("\"run_id\""))
        }
    }
}

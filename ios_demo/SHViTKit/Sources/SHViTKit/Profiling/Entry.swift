/// A contestant during the measurement. It is loaded in the first round and collects the results.
final class Entry {
    let contestant: Contestant
    var rounds: [[Double]] = []
    /// The fewest inferences of a warm-up.
    var warmUp = Int.max
    var frames: [(times: StageTimes, total: Duration)] = []
    var windows: [DeviceReport.Window] = []
    /// The system's plan, requested last.
    var placement: [String: Int]?
    /// The reason why the measurement of this contestant stopped; nil while it runs.
    private(set) var failure: String?
    private(set) var loaded: Loaded?

    /// The state after loading.
    struct Loaded {
        let runner: any Runner
        /// The compilation time; nil if there was nothing to compile.
        let compileMs: Double?
        let loadMs: Double
        let firstMs: Double
        let golden: GoldenOutcome?
        /// The peak memory growth during loading and the first inference, in bytes.
        let peakMemory: Int?
        /// The memory growth during later inferences.
        var memory: MemoryLog
    }

    init(_ contestant: Contestant) {
        self.contestant = contestant
    }

    func keep(_ loaded: Loaded) {
        self.loaded = loaded
    }

    /// Records the app's memory after an inference of the first round. In later rounds other contestants' memory would
    /// count too.
    func noteMemory() {
        if rounds.isEmpty { loaded?.memory.note() }
    }

    /// Stops the measurement of this contestant and frees its memory.
    func fail(_ reason: String) {
        failure = reason
        loaded = nil
    }

    /// What the report says about a contestant that failed.
    var failed: DeviceReport.FailedContestant? {
        failure.map {
            DeviceReport.FailedContestant(
                name: contestant.name, engine: contestant.engine, compute: contestant.compute,
                threads: contestant.threads, error: $0)
        }
    }

    /// The result; nil if the measurement failed.
    var result: DeviceReport.Result? {
        guard let loaded, let latency = Latency(of: rounds.flatMap(\.self)) else { return nil }
        var result = DeviceReport.Result(
            name: contestant.name, engine: contestant.engine, precision: contestant.precision,
            compute: contestant.compute, loadMs: loaded.loadMs, firstMs: loaded.firstMs, latency: latency,
            samplesMs: rounds)
        result.artifactSha256 = contestant.artifactSha256
        result.threads = contestant.threads
        result.compileMs = loaded.compileMs
        result.stages = Stages(of: frames)
        result.windows = windows
        result.peakMemoryBytes = loaded.peakMemory
        result.runningMemoryBytes = loaded.memory.growth
        result.sizeBytes = contestant.sizeBytes
        result.placement = placement
        result.golden = loaded.golden?.record
        result.drift = contestant.drift
        return result
    }
}

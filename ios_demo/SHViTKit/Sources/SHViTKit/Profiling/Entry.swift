/// A contestant while it is measured: loaded at its first turn, and what was measured so far.
final class Entry {
    let contestant: Contestant
    var rounds: [[Double]] = []
    var windows: [DeviceReport.Window] = []
    /// Of the system's plan, asked for last.
    var placement: [String: Int]?
    /// Why it is measured no more; nil where all is well.
    private(set) var failure: String?
    private(set) var loaded: Loaded?

    /// What is known from loading on.
    struct Loaded {
        let classifier: any Classifier
        /// Nil where there was nothing to compile.
        let compileMs: Double?
        let loadMs: Double
        let firstMs: Double
        let golden: GoldenOutcome?
        /// While it loaded and ran once, in bytes.
        let peakMemory: Int?
        /// Of the inferences since then.
        var memory: MemoryLog
    }

    init(_ contestant: Contestant) {
        self.contestant = contestant
    }

    func keep(_ loaded: Loaded) {
        self.loaded = loaded
    }

    /// Notes the app's memory after an inference of the first turn; later on it has grown by what others loaded, too.
    func noteMemory() {
        if rounds.isEmpty { loaded?.memory.note() }
    }

    /// It is measured no more, and holds no memory.
    func fail(_ reason: String) {
        failure = reason
        loaded = nil
    }

    /// Nil where it was not measured.
    var result: DeviceReport.Result? {
        guard let loaded, let latency = Latency(of: rounds.flatMap(\.self)) else { return nil }
        var result = DeviceReport.Result(
            name: contestant.name, engine: contestant.engine, precision: contestant.precision,
            compute: contestant.compute, loadMs: loaded.loadMs, firstMs: loaded.firstMs, latency: latency,
            samplesMs: rounds)
        result.artifactSha256 = contestant.artifactSha256
        result.threads = contestant.threads
        result.compileMs = loaded.compileMs
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

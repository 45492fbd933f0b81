import Foundation
import SHViTKit

/// Measures trials on this device: verifies each artifact, runs its golden check, and measures its latency.
public struct Benchmark: Sendable {
    /// Returns the source that loads a trial's model on the trial's processors.
    public typealias Sources = @Sendable (Trial) throws -> any RunnerSource

    /// A trial that could not be measured.
    public struct Failure: Equatable, Identifiable, Sendable {
        /// The trial's name.
        public let name: String
        /// The reason, as text.
        public let reason: String
        /// The name and the reason.
        public var id: String { "\(name): \(reason)" }
    }

    /// The results of a benchmark.
    public struct Outcome: Sendable {
        /// The report; nil if nothing could be measured.
        public let report: DeviceReport?
        /// The trials that failed, in their order.
        public let failures: [Failure]
    }

    private let probe: any DeviceProbe
    private let decoder: GoldenChecker.Decoder
    private let sources: Sources
    private let stopwatch: Stopwatch
    private let sleep: Profiler.Sleep

    /// - Parameters:
    ///   - probe: Reads the device's conditions.
    ///   - decoder: The device's image decoder.
    ///   - stopwatch: The clock that measures latencies.
    ///   - sleep: Waits while the phone cools before the measurement.
    ///   - sources: Returns the source of a trial's model.
    public init(
        probe: any DeviceProbe, decoder: @escaping GoldenChecker.Decoder, stopwatch: Stopwatch = .monotonic,
        sleep: @escaping Profiler.Sleep = { try await Task.sleep(for: $0) }, sources: @escaping Sources
    ) {
        self.probe = probe
        self.decoder = decoder
        self.stopwatch = stopwatch
        self.sleep = sleep
        self.sources = sources
    }

    /// Measures all trials in interleaved rounds. A trial that fails does not stop the others.
    ///
    /// - Parameters:
    ///   - trials: The trials, in the order in which they run in each round.
    ///   - plan: Execution each trial is measured.
    ///   - about: What the report says about the app and the device.
    ///   - progress: Called between inferences.
    /// - Throws: As `Profiler.measure`.
    public func measure(
        _ trials: [Trial], plan: Profiler.Plan, about: Profiler.About,
        progress: @escaping @Sendable (Profiler.Progress) -> Void = { _ in }
    ) async throws -> Outcome {
        var (contestants, failures): ([Contestant], [Failure]) = ([], [])
        var proven: [String: Result<Void, SHViTError>] = [:]
        for trial in trials {
            try Task.checkCancellation()
            // Verify an artifact once, even if several trials use it.
            let proof = proven[trial.model.id] ?? Result { () throws(SHViTError) in try trial.model.verify() }
            proven[trial.model.id] = proof
            do {
                try proof.get()
                contestants.append(try contestant(of: trial, about: about))
            } catch {
                failures.append(Failure(name: trial.id, reason: Wording.reason(error)))
            }
        }
        let outcome = try await Profiler(plan, probe: probe, stopwatch: stopwatch, sleep: sleep)
            .measure(contestants, about: about, progress: progress)
        failures += outcome.failures.map { Failure(name: $0.title, reason: $0.reason) }
        return Outcome(report: outcome.report, failures: failures)
    }

    private func contestant(of trial: Trial, about: Profiler.About) throws -> Contestant {
        let manifest = trial.model.manifest
        let (height, width) = (manifest.preprocessing.size[0], manifest.preprocessing.size[1])
        var contestant = Contestant(
            trial.model, engine: Wording.engine(manifest, versions: about.versions), compute: trial.compute,
            source: try sources(trial), pixels: try Self.gradient(height: height, width: width),
            goldens: try trial.model.goldens().map { try GoldenChecker($0, decoder: decoder) })
        contestant.title = trial.id
        contestant.frame = .camera(
            preprocessor: try Preprocessor(manifest.preprocessing),
            decoder: try OutputDecoder(manifest, labels: trial.model.labels))
        return contestant
    }

    /// Returns a test picture: red grows to the right, green downwards.
    static func gradient(height: Int, width: Int) throws(SHViTError) -> RGBImage {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(height * width * 3)
        for row in 0..<height {
            for column in 0..<width {
                bytes += [UInt8(column * 255 / width), UInt8(row * 255 / height), 128]
            }
        }
        return try RGBImage(height: height, width: width, bytes: bytes)
    }
}

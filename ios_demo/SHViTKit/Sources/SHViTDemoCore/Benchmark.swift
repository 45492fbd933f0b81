import Foundation
import SHViTKit

/// Measures trials on this device: proves each artifact, checks its goldens, and times it.
public struct Benchmark: Sendable {
    /// What a trial's model is loaded from, on the trial's processors.
    public typealias Sources = @Sendable (Trial) throws -> any ClassifierSource

    /// A trial that could not be measured.
    public struct Failure: Equatable, Identifiable, Sendable {
        /// The trial's.
        public let name: String
        /// In words.
        public let reason: String
        /// Both.
        public var id: String { "\(name): \(reason)" }
    }

    /// What was measured, and what could not be.
    public struct Outcome: Sendable {
        /// Nil where nothing could be measured.
        public let report: DeviceReport?
        /// In the order of the trials.
        public let failures: [Failure]
    }

    private let probe: any DeviceProbe
    private let decoder: GoldenChecker.Decoder
    private let sources: Sources
    private let stopwatch: Stopwatch

    /// - Parameters:
    ///   - probe: what the device tells of itself.
    ///   - decoder: the device's decoder of pictures.
    ///   - sources: the runtimes.
    ///   - stopwatch: what times are taken with.
    public init(
        probe: any DeviceProbe, decoder: @escaping GoldenChecker.Decoder, stopwatch: Stopwatch = .monotonic,
        sources: @escaping Sources
    ) {
        self.probe = probe
        self.decoder = decoder
        self.stopwatch = stopwatch
        self.sources = sources
    }

    /// Measures all, in turns; one that fails does not stop the others.
    ///
    /// - Parameters:
    ///   - trials: in the order of their turns.
    ///   - plan: how each is measured.
    ///   - about: what the report says of the app and the device.
    ///   - progress: told between inferences.
    /// - Throws: `CancellationError` alone.
    public func measure(
        _ trials: [Trial], plan: Profiler.Plan, about: Profiler.About,
        progress: @escaping @Sendable (Profiler.Progress) -> Void = { _ in }
    ) async throws -> Outcome {
        var (contestants, failures): ([Contestant], [Failure]) = ([], [])
        var proven: [String: Result<Void, SHViTError>] = [:]
        for trial in trials {
            try Task.checkCancellation()
            // An artifact of many trials is read once.
            let proof = proven[trial.model.id] ?? Result { () throws(SHViTError) in try trial.model.verify() }
            proven[trial.model.id] = proof
            do {
                try proof.get()
                contestants.append(try contestant(of: trial, about: about))
            } catch {
                failures.append(Failure(name: trial.id, reason: Wording.reason(error)))
            }
        }
        let outcome = try await Profiler(plan, probe: probe, stopwatch: stopwatch)
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
        return contestant
    }

    /// A picture to be timed with: red grows to the right, green downwards.
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

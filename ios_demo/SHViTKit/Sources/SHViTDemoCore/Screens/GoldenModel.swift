import Observation
import SHViTKit

/// Runs a model's golden check on this phone.
@MainActor
@Observable
public final class GoldenModel {
    /// The state of the screen.
    public enum Phase {
        /// No check has run yet.
        case ready
        /// The check runs.
        case checking
        /// The check is done.
        case checked(GoldenOutcome)
        /// The check failed to run.
        case failed(any Error)
    }

    /// The current state.
    public private(set) var phase = Phase.ready
    private var task: Task<Void, Never>?
    private let decoder: @Sendable (Preprocessing) -> GoldenChecker.Decoder
    private let sources: Benchmark.Sources

    /// - Parameters:
    ///   - decoder: Returns the phone's image decoder for a model's preprocessing.
    ///   - sources: Returns the source of a trial's model.
    public init(
        decoder: @escaping @Sendable (Preprocessing) -> GoldenChecker.Decoder, sources: @escaping Benchmark.Sources
    ) {
        self.decoder = decoder
        self.sources = sources
    }

    /// Verifies the artifact, then checks preprocessing and inference.
    public func start(_ trial: Trial) {
        task?.cancel()
        phase = .checking
        task = Task { await check(trial) }
    }

    /// Cancels a running check and drops its result, because another model was chosen.
    public func reset() {
        task?.cancel()
        phase = .ready
    }

    /// Waits until the check is done.
    func waitUntilFinished() async {
        await task?.value
    }

    private func check(_ trial: Trial) async {
        let result: Phase
        do { result = .checked(try await outcome(of: trial)) } catch { result = .failed(error) }
        if !Task.isCancelled { phase = result }
    }

    /// Runs off the main thread, which draws.
    private nonisolated func outcome(of trial: Trial) async throws -> GoldenOutcome {
        try trial.model.verify()
        guard let goldens = try trial.model.goldens() else {
            throw SHViTError.artifactChanged(
                "\(trial.model.id) has no goldens.",
                why: "The golden check needs the pictures and logits stored at export.",
                next: "Export the model again on your computer, then embed it.")
        }
        let source = try sources(trial)
        _ = try await source.compile()
        return try await GoldenChecker(goldens, decoder: decoder(goldens.goldens.preprocessing)).check(source.load())
    }
}

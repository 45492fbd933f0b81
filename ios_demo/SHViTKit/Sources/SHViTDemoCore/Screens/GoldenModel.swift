import Observation
import SHViTKit

/// Has a model answer its goldens on this phone.
@MainActor
@Observable
public final class GoldenModel {
    /// What there is to see.
    public enum Phase {
        /// Nothing yet.
        case ready
        /// A moment's patience.
        case checking
        /// What was found.
        case checked(GoldenOutcome)
        /// Why nothing was.
        case failed(any Error)
    }

    /// What there is to see now.
    public private(set) var phase = Phase.ready
    private var task: Task<Void, Never>?
    private let decoder: GoldenChecker.Decoder
    private let sources: Benchmark.Sources

    /// - Parameters:
    ///   - decoder: the phone's decoder of pictures.
    ///   - sources: the runtimes.
    public init(decoder: @escaping GoldenChecker.Decoder, sources: @escaping Benchmark.Sources) {
        self.decoder = decoder
        self.sources = sources
    }

    /// Proves the artifact, then checks both halves.
    public func start(_ trial: Trial) {
        task?.cancel()
        phase = .checking
        task = Task { await check(trial) }
    }

    /// What was found, or is being found, does not belong to the model that is chosen now.
    public func forget() {
        task?.cancel()
        phase = .ready
    }

    /// Waits for what was started.
    func finished() async {
        await task?.value
    }

    private func check(_ trial: Trial) async {
        let result: Phase
        do { result = .checked(try await outcome(of: trial)) } catch { result = .failed(error) }
        if !Task.isCancelled { phase = result }
    }

    /// Away from the main thread, which draws.
    private nonisolated func outcome(of trial: Trial) async throws -> GoldenOutcome {
        try trial.model.verify()
        guard let goldens = try trial.model.goldens() else {
            throw SHViTError(
                "\(trial.model.id) has no goldens.", why: "Only they tell whether this phone answers as it should.",
                next: "On the computer, export it again: shvit-mobile export")
        }
        let source = try sources(trial)
        _ = try await source.compile()
        return try await GoldenChecker(goldens, decoder: decoder).check(source.load())
    }
}

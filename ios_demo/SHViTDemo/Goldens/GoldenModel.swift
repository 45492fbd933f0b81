import Observation
import SHViTDemoCore
import SHViTKit

/// Has a model answer its goldens on this phone.
@MainActor
@Observable
final class GoldenModel {
    /// What there is to see.
    enum Phase {
        case ready
        case checking
        case checked(GoldenOutcome)
        case failed(any Error)
    }

    private(set) var phase = Phase.ready
    private var task: Task<Void, Never>?

    /// Proves the artifact, then checks both halves.
    func start(_ trial: Trial) {
        phase = .checking
        task = Task { await check(trial) }
    }

    /// What was found, or is being found, does not belong to the model that is chosen now.
    func forget() {
        task?.cancel()
        phase = .ready
    }

    private func check(_ trial: Trial) async {
        let result: Phase
        do { result = .checked(try await Self.outcome(of: trial)) } catch { result = .failed(error) }
        if !Task.isCancelled { phase = result }
    }

    private nonisolated static func outcome(of trial: Trial) async throws -> GoldenOutcome {
        try trial.model.verify()
        guard let goldens = try trial.model.goldens() else {
            throw SHViTError(
                "\(trial.model.id) has no goldens.", why: "Only they tell whether this phone answers as it should.",
                next: "On the computer, export it again: shvit-mobile export")
        }
        let source = try Device.source(of: trial)
        _ = try await source.compile()
        return try await GoldenChecker(goldens, decoder: Device.decoder).check(source.load())
    }
}

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

    /// Proves the artifact, then checks both halves.
    func check(_ trial: Trial) async {
        phase = .checking
        do {
            phase = .checked(try await Self.outcome(of: trial))
        } catch is CancellationError {
            phase = .ready
        } catch {
            phase = .failed(error)
        }
    }

    /// What was found no longer belongs to the model that is chosen.
    func forget() {
        phase = .ready
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

import Foundation
import Observation
import SHViTDemoCore
import SHViTKit

/// Says what is in a photo.
@MainActor
@Observable
final class PhotoModel {
    /// What there is to see.
    enum Phase {
        case empty
        case working
        case answered(Recogniser.Answer)
        case failed(any Error)
    }

    private(set) var phase = Phase.empty
    /// The photo as it was chosen; nil before.
    private(set) var photo: Data?

    /// Reads a photo, and has a model answer.
    ///
    /// - Parameters:
    ///   - trial: the model, and where it runs.
    ///   - load: gives the photo's bytes; nil where it has none.
    func recognise(with trial: Trial, load: @Sendable () async throws -> Data?) async {
        phase = .working
        do {
            guard let data = try await load() else {
                throw SHViTError("The photo cannot be read.", why: "It has no picture.", next: "Choose another one.")
            }
            photo = data
            phase = .answered(try await Self.answer(to: data, with: trial))
        } catch is CancellationError {
            phase = .empty
        } catch {
            phase = .failed(error)
        }
    }

    /// Decodes and recognises away from the main thread, which draws.
    private nonisolated static func answer(to photo: Data, with trial: Trial) async throws -> Recogniser.Answer {
        let recogniser = try await Recogniser(trial.model, source: Device.source(of: trial))
        return try await recogniser.answer(Device.decoder(photo))
    }
}

import Foundation
import Observation
import SHViTKit

/// Says what is in a photo.
@MainActor
@Observable
public final class PhotoModel {
    /// What there is to see.
    public enum Phase {
        /// No photo yet.
        case empty
        /// A moment's patience.
        case working
        /// What the model says.
        case answered(Recogniser.Answer)
        /// Why it says nothing.
        case failed(any Error)
    }

    /// What there is to see now.
    public private(set) var phase = Phase.empty
    /// The photo as it was chosen; nil before.
    public private(set) var photo: Data?
    private let decoder: GoldenChecker.Decoder
    private let sources: Benchmark.Sources

    /// - Parameters:
    ///   - decoder: the phone's decoder of pictures.
    ///   - sources: the runtimes.
    public init(decoder: @escaping GoldenChecker.Decoder, sources: @escaping Benchmark.Sources) {
        self.decoder = decoder
        self.sources = sources
    }

    /// Reads a photo, and has a model answer.
    ///
    /// - Parameters:
    ///   - trial: the model, and where it runs.
    ///   - load: gives the photo's bytes; nil where it has none.
    public func recognise(with trial: Trial, load: @Sendable () async throws -> Data?) async {
        (phase, photo) = (.working, nil)
        do {
            guard let data = try await load() else {
                throw SHViTError("The photo cannot be read.", why: "It has no picture.", next: "Choose another one.")
            }
            photo = data
            let answer = try await answer(to: data, with: trial)
            try Task.checkCancellation()
            phase = .answered(answer)
        } catch {
            // Of a photo or model that is no longer chosen, nothing is shown.
            if !Task.isCancelled { phase = .failed(error) }
        }
    }

    /// Decodes and recognises away from the main thread, which draws.
    private nonisolated func answer(to photo: Data, with trial: Trial) async throws -> Recogniser.Answer {
        let recogniser = try await Recogniser(trial.model, source: sources(trial))
        return try await recogniser.answer(decoder(photo))
    }
}

import Foundation
import Observation
import SHViTKit

/// Finds classes or objects in a photo.
@MainActor
@Observable
public final class PhotoModel {
    /// The state of the screen.
    public enum Phase {
        /// No photo is selected yet.
        case empty
        /// The photo is being analyzed.
        case working
        /// The photo is analyzed.
        case analyzed(Analysis)
        /// The analysis failed.
        case failed(any Error)
    }

    /// The current state.
    public private(set) var phase = Phase.empty
    /// What each side of the analyzed photo was divided by when it was decoded; 1 for a whole photo.
    public private(set) var reduction = 1
    /// The photo's bytes; nil before one is selected.
    public private(set) var photo: Data?
    private let decoder: @Sendable (Preprocessing) -> GoldenChecker.Decoder
    private let sources: Benchmark.Sources
    /// The model of the last photo, loaded.
    private var loaded: (trial: Trial.ID, model: ImageModel)?

    /// - Parameters:
    ///   - decoder: Returns the phone's image decoder for a model's preprocessing.
    ///   - sources: Returns the source of a trial's model.
    public init(
        decoder: @escaping @Sendable (Preprocessing) -> GoldenChecker.Decoder, sources: @escaping Benchmark.Sources
    ) {
        self.decoder = decoder
        self.sources = sources
    }

    /// Loads a photo and analyzes it.
    ///
    /// - Parameters:
    ///   - trial: The model and its processors.
    ///   - load: Returns the photo's bytes; nil if it has none.
    public func analyze(with trial: Trial, load: @Sendable () async throws -> Data?) async {
        (phase, photo) = (.working, nil)
        do {
            guard let data = try await load() else {
                throw SHViTError.undecodablePicture(
                    "The photo cannot be read.", why: "It contains no image data.", next: "Choose another photo.")
            }
            photo = data
            let model = try await model(of: trial)
            try Task.checkCancellation()
            let decoder = decoder(trial.model.manifest.preprocessing)
            let (analysis, decodedAt) = try await analysis(of: data, decoder: decoder, with: model)
            try Task.checkCancellation()
            reduction = decodedAt
            phase = .analyzed(analysis)
        } catch {
            // Show nothing for a photo or model that is no longer selected.
            if !Task.isCancelled { phase = .failed(error) }
        }
    }

    /// Returns the loaded model; another one than the last is loaded first.
    private func model(of trial: Trial) async throws -> ImageModel {
        if let loaded, loaded.trial == trial.id { return loaded.model }
        loaded = nil
        try trial.checkIsShown()
        let model = try await ImageModel(trial.model, source: sources(trial))
        loaded = (trial.id, model)
        return model
    }

    /// Frees the loaded model, because the system has little memory.
    public func free() {
        loaded = nil
    }

    /// Decodes and analyzes off the main thread, which draws.
    private nonisolated func analysis(
        of photo: Data, decoder: @escaping GoldenChecker.Decoder, with model: ImageModel
    ) async throws -> (Analysis, reduction: Int) {
        let picture = try decoder(photo)
        return (try await model.analyze(picture), picture.reduction)
    }
}

import SHViTKit

/// A loaded model that classifies pictures and measures how long that takes.
public struct Recognizer: Sendable {
    /// The predictions for a picture.
    public struct Classification: Equatable, Sendable {
        /// The classes, most likely first.
        public let predictions: [Prediction]
        /// The duration of resizing and cropping, in milliseconds.
        public let preprocessing: Double
        /// The duration of the inference, in milliseconds.
        public let inference: Double
    }

    private let labels: [String]
    private let preprocessor: Preprocessor
    private let classifier: any Classifier
    private let stopwatch: Stopwatch

    /// Loads a model, after compiling it if its runtime needs that.
    ///
    /// - Throws: `SHViTError`, or the runtime's own error.
    public init(
        _ model: EmbeddedModel, source: any ClassifierSource, stopwatch: Stopwatch = .monotonic
    ) async throws {
        labels = model.labels
        preprocessor = try Preprocessor(model.manifest.preprocessing)
        _ = try await source.compile()
        try Task.checkCancellation()
        classifier = try await source.load()
        self.stopwatch = stopwatch
    }

    /// Returns the five most likely classes of a picture.
    public func classify(_ picture: some PictureSource) async throws -> Classification {
        let begun = stopwatch.now()
        let pixels = try preprocessor.pixels(of: picture)
        let prepared = stopwatch.now()
        let logits = try await classifier.logits(for: pixels)
        let ended = stopwatch.now()
        return Classification(
            predictions: predictions(5, of: logits, labels: labels),
            preprocessing: (prepared - begun) / .milliseconds(1),
            inference: (ended - prepared) / .milliseconds(1))
    }
}

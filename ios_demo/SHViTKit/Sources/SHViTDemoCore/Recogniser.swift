import SHViTKit

/// A loaded model that says what is in a picture, and how long that took.
public struct Recogniser: Sendable {
    /// What it says of one picture.
    public struct Answer: Equatable, Sendable {
        /// The likeliest first.
        public let guesses: [Guess]
        /// Of the resizing and cropping, in milliseconds.
        public let preparation: Double
        /// Of the model, in milliseconds.
        public let inference: Double
    }

    private let labels: [String]
    private let preprocessor: Preprocessor
    private let classifier: any Classifier
    private let stopwatch: Stopwatch

    /// Loads a model, compiled first where its runtime asks for that.
    ///
    /// - Throws: `SHViTError`, or what the runtime throws.
    public init(
        _ model: EmbeddedModel, source: any ClassifierSource, stopwatch: Stopwatch = .monotonic
    ) async throws {
        labels = model.labels
        preprocessor = try Preprocessor(model.manifest.preprocessing)
        _ = try await source.compile()
        classifier = try await source.load()
        self.stopwatch = stopwatch
    }

    /// The five likeliest classes of an upright picture.
    public func answer(_ picture: RGBImage) async throws -> Answer {
        let begun = stopwatch.now()
        let pixels = preprocessor.pixels(of: picture)
        let prepared = stopwatch.now()
        let logits = try await classifier.logits(for: pixels)
        let ended = stopwatch.now()
        return Answer(
            guesses: guesses(5, of: logits, labels: labels), preparation: (prepared - begun) / .milliseconds(1),
            inference: (ended - prepared) / .milliseconds(1))
    }
}

/// A loaded model.
public protocol Classifier: Sendable {
    /// Returns the logits for a picture, and how long each stage took.
    ///
    /// - Parameters:
    ///   - pixels: The output of `Preprocessor.pixels(of:)`.
    ///   - stopwatch: Measures the stages.
    func timedLogits(for pixels: RGBImage, stopwatch: Stopwatch) async throws -> TimedLogits
}

extension Classifier {
    /// Returns the logits for a picture.
    ///
    /// - Parameter pixels: The output of `Preprocessor.pixels(of:)`.
    /// - Returns: One logit per class, in the order of the labels.
    public func logits(for pixels: RGBImage) async throws -> [Float] {
        try await timedLogits(for: pixels, stopwatch: .monotonic).logits
    }
}

/// The source of a classifier. It is separate so that compilation and loading can be measured.
public protocol ClassifierSource: Sendable {
    /// Does the work that the system does once per installation, such as Core ML's compilation.
    ///
    /// - Returns: Whether there was anything to do.
    func compile() async throws -> Bool

    /// Loads the classifier.
    func load() async throws -> any Classifier

    /// Returns the number of operators that the system plans to run on each processor ("cpu", "gpu", "neural-engine").
    ///
    /// - Returns: Nil if the system does not report it.
    func placement() async throws -> [String: Int]?
}

extension ClassifierSource {
    /// Does nothing.
    public func compile() async throws -> Bool { false }

    /// Returns nil.
    public func placement() async throws -> [String: Int]? { nil }
}

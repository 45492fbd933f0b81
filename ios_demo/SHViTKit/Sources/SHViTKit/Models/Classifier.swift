/// A model that is loaded and answers.
public protocol Classifier: Sendable {
    /// The logits for one picture.
    ///
    /// - Parameter pixels: as `Preprocessor.pixels(of:)` makes them.
    /// - Returns: a logit a class, in the order of the labels.
    func logits(for pixels: RGBImage) async throws -> [Float]
}

/// What a classifier is loaded from; apart from it, so that compiling and loading can be timed.
public protocol ClassifierSource: Sendable {
    /// What the system does once an installation, such as Core ML's compiling.
    ///
    /// - Returns: whether there was anything to do.
    func compile() async throws -> Bool

    /// The classifier, ready to answer.
    func load() async throws -> any Classifier

    /// How many operators the system means to run on each processor ("cpu", "gpu", "neural-engine").
    ///
    /// - Returns: nil where the system does not tell.
    func placement() async throws -> [String: Int]?
}

extension ClassifierSource {
    /// Nothing to do.
    public func compile() async throws -> Bool { false }

    /// Nothing is told.
    public func placement() async throws -> [String: Int]? { nil }
}

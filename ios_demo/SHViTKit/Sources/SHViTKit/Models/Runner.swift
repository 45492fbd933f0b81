/// A loaded model of any task.
public protocol Runner: Sendable {
    /// Returns the outputs for a picture, and how long each stage took.
    ///
    /// - Parameters:
    ///   - pixels: The output of `Preprocessor.pixels(of:)`.
    ///   - stopwatch: Measures the stages.
    func timedOutputs(for pixels: RGBImage, stopwatch: Stopwatch) async throws -> TimedOutputs
}

extension Runner {
    /// Returns the outputs for a picture.
    ///
    /// - Parameter pixels: The output of `Preprocessor.pixels(of:)`.
    /// - Returns: The values of each output, by its name in the manifest: one logit per class, or a map in the order
    ///   channels, rows, columns.
    public func outputs(for pixels: RGBImage) async throws -> [String: [Float]] {
        try await timedOutputs(for: pixels, stopwatch: .monotonic).outputs
    }
}

/// The source of a runner. It is separate so that compilation and loading can be measured.
public protocol RunnerSource: Sendable {
    /// Does the work that the system does once per installation, such as Core ML's compilation.
    ///
    /// - Returns: Whether there was anything to do.
    func compile() async throws -> Bool

    /// Loads the model.
    func load() async throws -> any Runner

    /// Returns the number of operators that the system plans to run on each processor ("cpu", "gpu", "neural-engine").
    ///
    /// - Returns: Nil if the system does not report it.
    func placement() async throws -> [String: Int]?
}

extension RunnerSource {
    /// Does nothing.
    public func compile() async throws -> Bool { false }

    /// Returns nil.
    public func placement() async throws -> [String: Int]? { nil }
}

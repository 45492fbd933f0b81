import Foundation

/// What a model finds in a picture, and how long that took.
public struct Analysis: Equatable, Sendable {
    /// Classes, objects or maps.
    public let finding: Finding
    /// The height of the upright picture in pixels.
    public let height: Int
    /// The width of the upright picture in pixels.
    public let width: Int
    /// The duration from the picture to the model's pixels, in milliseconds.
    public let preprocessingMs: Double
    /// The duration from pixels to outputs, in milliseconds.
    public let inferenceMs: Double
    /// The duration from outputs to classes or boxes, in milliseconds.
    public let decodingMs: Double

    /// How a view shows all of the picture, for the places of boxes.
    public var placement: PicturePlacement { PicturePlacement(width: width, height: height) }
}

/// A model of any task that `shvit-mobile embed` put into the app: `ImageClassifier` and `ImageDetector` are simpler.
///
/// Several tasks may use one model at the same time. Keep it as long as you use it, because loading takes time.
public final class ImageModel: Sendable {
    /// The model, with its manifest and labels.
    public let model: EmbeddedModel
    private let preprocessor: Preprocessor
    private let runner: any Runner
    private let decoder: OutputDecoder
    private let stopwatch: Stopwatch

    /// Verifies a model's artifact by its SHA-256 and loads it. Compiles it first if its runtime needs that and has not
    /// done it before.
    ///
    /// - Parameters:
    ///   - model: The model.
    ///   - source: Loads the model.
    ///   - stopwatch: The clock that measures durations.
    /// - Throws: `artifactChanged` if the artifact is not the exported one, `runtimeFailure` if it cannot be loaded,
    ///   `cancelled` if the task was cancelled.
    public init(
        _ model: EmbeddedModel, source: any RunnerSource, stopwatch: Stopwatch = .monotonic
    ) async throws(SHViTError) {
        try model.verify()
        preprocessor = try Preprocessor(model.manifest.preprocessing)
        decoder = try OutputDecoder(model.manifest, labels: model.labels)
        runner = try await SHViTError.converting("\(model.manifest.artifact.name) cannot be loaded") {
            _ = try await source.compile()
            try Task.checkCancellation()
            return try await source.load()
        }
        self.model = model
        self.stopwatch = stopwatch
    }

    /// Returns what the model finds in a picture or camera frame, which is read where it is.
    ///
    /// - Parameters:
    ///   - picture: The picture.
    ///   - count: The maximum number of classes.
    /// - Throws: `unsupportedInput` if the picture cannot be read, `runtimeFailure` if the model fails.
    public func analyze(_ picture: some PictureSource, count: Int = 5) async throws(SHViTError) -> Analysis {
        let begun = stopwatch.now()
        let (pixels, size) = try picture.withMemory { (preprocessor.pixels(of: $0), $0.uprightSize) }
        let prepared = stopwatch.now()
        let name = model.manifest.artifact.name
        let outputs = try await SHViTError.converting("\(name) failed") { try await runner.outputs(for: pixels) }
        let answered = stopwatch.now()
        let finding = try decoder.finding(in: outputs, height: size.height, width: size.width, count: count)
        return Analysis(
            finding: finding, height: size.height, width: size.width, preprocessingMs: (prepared - begun).milliseconds,
            inferenceMs: (answered - prepared).milliseconds, decodingMs: (stopwatch.now() - answered).milliseconds)
    }
}

extension EmbeddedModel {
    /// Checks that the model has a task.
    ///
    /// - Parameters:
    ///   - task: The task.
    ///   - next: What to do for another one.
    /// - Throws: `unsupportedDocument` if it has another one.
    func check(task: Manifest.Task, next: String) throws(SHViTError) {
        guard manifest.task == task else {
            throw .unsupportedDocument(
                "\(manifest.artifact.name) has the task \(manifest.task.rawValue), not \(task.rawValue).",
                why: "Its outputs are others.", next: next)
        }
    }
}

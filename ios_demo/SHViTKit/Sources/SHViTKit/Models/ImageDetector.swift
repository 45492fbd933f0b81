import Foundation

/// The objects in a picture, and how long it took to find them.
public struct Detections: Equatable, Sendable {
    /// The objects, best first, with boxes in pixels of the upright picture.
    public let objects: [DetectedObject]
    /// The duration from the picture to the model's pixels, in milliseconds.
    public let preprocessingMs: Double
    /// The duration from pixels to maps, in milliseconds.
    public let inferenceMs: Double
    /// The duration from maps to boxes, in milliseconds.
    public let decodingMs: Double
}

/// Detects objects in pictures with a model that `shvit-mobile embed` put into the app.
///
/// ```swift
/// let detector = try await ImageDetector(named: "light_shvit_s1-detect-256-coreml-fp16")
/// for object in try await detector.detect(CameraFrame(frame)).objects {
///     print(object.label, object.box)
/// }
/// ```
///
/// Several tasks may use one detector at the same time. Keep it as long as you detect, because loading takes time.
public final class ImageDetector: Sendable {
    private let image: ImageModel

    /// The model, with its manifest and labels.
    public var model: EmbeddedModel { image.model }

    /// Loads an embedded model with the runtime that its artifact is for.
    ///
    /// `SHViTKitCoreML` and `SHViTKitExecuTorch` have an initializer that needs only the name.
    ///
    /// - Parameters:
    ///   - name: The folder's name, which is the artifact's name without suffix.
    ///   - store: The app's models.
    ///   - runtimes: The runtimes that the app links.
    /// - Throws: As `ImageClassifier.init(named:in:runtimes:)`.
    public convenience init(
        named name: String, in store: ModelStore = .main, runtimes: [ModelRuntime]
    ) async throws(SHViTError) {
        let model = try store.model(named: name)
        try await self.init(model, source: model.source(with: runtimes))
    }

    /// Verifies a model's artifact by its SHA-256 and loads it, as `ImageModel` does.
    ///
    /// - Parameters:
    ///   - model: The model.
    ///   - source: Loads the model.
    ///   - stopwatch: The clock that measures durations.
    /// - Throws: `unsupportedDocument` if the model is no detector; otherwise like `ImageModel.init`.
    public init(
        _ model: EmbeddedModel, source: any RunnerSource, stopwatch: Stopwatch = .monotonic
    ) async throws(SHViTError) {
        try model.check(task: .detect, next: "Load a classifier with ImageClassifier, other models with ImageModel.")
        image = try await ImageModel(model, source: source, stopwatch: stopwatch)
    }

    /// Returns the objects in a picture or camera frame, which is read where it is.
    ///
    /// - Parameter picture: The picture: a `CameraFrame`, or an `RGBImage` of a photo.
    /// - Throws: `unsupportedInput` if the picture cannot be read, `runtimeFailure` if the model fails.
    public func detect(_ picture: some PictureSource) async throws(SHViTError) -> Detections {
        let analysis = try await image.analyze(picture)
        guard case .objects(let objects) = analysis.finding else { preconditionFailure("a detector finds objects") }
        return Detections(
            objects: objects, preprocessingMs: analysis.preprocessingMs, inferenceMs: analysis.inferenceMs,
            decodingMs: analysis.decodingMs)
    }
}

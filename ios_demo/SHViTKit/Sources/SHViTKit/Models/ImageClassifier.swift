import Foundation

/// A model's predictions for a picture.
public struct Classification: Equatable, Sendable {
    /// The most likely classes, most likely first.
    public let predictions: [Prediction]
    /// The duration from the picture to the model's pixels, in milliseconds.
    public let preprocessingMs: Double
    /// The duration from pixels to logits, in milliseconds.
    public let inferenceMs: Double
}

/// Classifies pictures with a model that `shvit-mobile embed` put into the app.
///
/// ```swift
/// let classifier = try await ImageClassifier(named: "shvit_s1-224-coreml-fp16")
/// for prediction in try await classifier.classify(photo).predictions {
///     print(prediction.label, prediction.probability)
/// }
/// ```
///
/// Several tasks may use one classifier at the same time. Keep it as long as you classify, because loading takes time.
public final class ImageClassifier: Sendable {
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
    /// - Throws: `modelNotEmbedded` names the models that the app has; `unsupportedDocument` if no runtime runs the
    ///   artifact; otherwise like `init(_:source:stopwatch:)`.
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
    /// - Throws: `unsupportedDocument` if the model is no classifier; otherwise like `ImageModel.init`.
    public init(
        _ model: EmbeddedModel, source: any RunnerSource, stopwatch: Stopwatch = .monotonic
    ) async throws(SHViTError) {
        try model.check(task: .classify, next: "Load a detector with ImageDetector, other models with ImageModel.")
        image = try await ImageModel(model, source: source, stopwatch: stopwatch)
    }

    /// Returns the most likely classes of a picture or camera frame, which is read where it is.
    ///
    /// - Parameters:
    ///   - picture: The picture.
    ///   - count: The maximum number of classes.
    /// - Throws: `unsupportedInput` if the picture cannot be read, `runtimeFailure` if the model fails.
    public func classify(_ picture: some PictureSource, count: Int = 5) async throws(SHViTError) -> Classification {
        let analysis = try await image.analyze(picture, count: count)
        guard case .classes(let predictions) = analysis.finding else {
            preconditionFailure("a classifier finds classes")
        }
        return Classification(
            predictions: predictions, preprocessingMs: analysis.preprocessingMs, inferenceMs: analysis.inferenceMs)
    }
}

/// A runtime that an app links, such as Core ML.
public struct ModelRuntime: Sendable {
    /// The artifacts that it runs.
    public let target: Manifest.Target
    private let make: @Sendable (EmbeddedModel) throws(SHViTError) -> any RunnerSource

    /// - Parameters:
    ///   - target: The artifacts that it runs.
    ///   - source: Returns the source that loads a model.
    public init(
        _ target: Manifest.Target,
        source: @escaping @Sendable (EmbeddedModel) throws(SHViTError) -> any RunnerSource
    ) {
        self.target = target
        make = source
    }

    fileprivate func source(of model: EmbeddedModel) throws(SHViTError) -> any RunnerSource {
        try make(model)
    }
}

extension EmbeddedModel {
    /// Returns the source that loads the model with the runtime that its artifact is for.
    ///
    /// - Parameter runtimes: The runtimes that the app links.
    /// - Throws: `unsupportedDocument` if none of them runs it.
    public func source(with runtimes: [ModelRuntime]) throws(SHViTError) -> any RunnerSource {
        guard let runtime = runtimes.first(where: { $0.target == manifest.target }) else {
            let known = runtimes.map(\.target.rawValue).joined(separator: ", ")
            throw .unsupportedDocument(
                "\(manifest.artifact.name) is for \(manifest.target.rawValue).",
                why: "This app runs \(known.isEmpty ? "no model" : known).",
                next: "Export the model for another target, or import the runtime: SHViTKitCoreML, SHViTKitExecuTorch.")
        }
        return try runtime.source(of: self)
    }
}

extension SHViTError {
    /// Does work of a runtime. The runtime's own errors become `runtimeFailure`, a cancellation `cancelled`.
    ///
    /// - Parameters:
    ///   - what: What is wrong if the work fails, without a full stop.
    ///   - work: The work.
    package static func converting<Value>(
        _ what: String, _ work: () async throws -> sending Value
    ) async throws(SHViTError) -> sending Value {
        do {
            return try await work()
        } catch let error as SHViTError {
            throw error
        } catch is CancellationError {
            throw .cancelled("The work was cancelled.")
        } catch {
            throw .runtimeFailure("\(what): \(error.localizedDescription)")
        }
    }
}

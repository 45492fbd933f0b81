import Observation
import SHViTKit

/// Finds classes or objects in a camera's frames, one after the other. Only one run at a time has a camera.
@MainActor
@Observable
public final class LiveModel<Feed: CameraFeed> {
    /// The state of the screen.
    public enum Phase {
        /// The model is loaded and the camera opened.
        case starting
        /// The person does not allow the camera.
        case denied
        /// Frames are analyzed.
        case running
        /// The system has taken the camera away for now.
        case interrupted
        /// The camera or the model failed.
        case failed(any Error)
    }

    /// The current state.
    public private(set) var phase = Phase.starting
    /// The result for the last frame; nil before the first.
    public private(set) var answer: Analysis?
    /// The latencies of the last frames, in milliseconds.
    public private(set) var latency = RecentLatency()
    /// The shape of the camera's picture and the part that the model sees; nil before the first frame.
    public private(set) var geometry: CameraGeometry?
    /// The camera that the preview shows; nil while there is none.
    public private(set) var camera: Feed?

    private let sources: Benchmark.Sources
    private let isAllowed: @Sendable () async -> Bool
    private let open: @Sendable () -> Feed
    private var last: Task<Void, Never>?

    /// - Parameters:
    ///   - sources: Returns the source of a trial's model.
    ///   - isAllowed: Returns whether the app may use the camera; asks the person if nobody has been asked yet.
    ///   - open: Returns a new camera, which is not open yet.
    public init(
        sources: @escaping Benchmark.Sources, isAllowed: @escaping @Sendable () async -> Bool,
        open: @escaping @Sendable () -> Feed
    ) {
        self.sources = sources
        self.isAllowed = isAllowed
        self.open = open
    }

    /// Analyzes frames until its task is cancelled. Waits until an earlier run has closed its camera.
    public func run(_ trial: Trial) async {
        let before = last
        let task = Task {
            await before?.value
            await analyzeFrames(with: trial)
        }
        last = task
        await withTaskCancellationHandler {
            await task.value
        } onCancel: {
            task.cancel()
        }
    }

    private func analyzeFrames(with trial: Trial) async {
        if Task.isCancelled { return }
        (phase, answer, latency, geometry) = (.starting, nil, RecentLatency(), nil)
        let isAllowed = await isAllowed()
        // The question whether the app may use the camera can take long, and this run may be over.
        if Task.isCancelled { return }
        guard isAllowed else {
            phase = .denied
            return
        }
        do {
            try trial.checkIsShown()
            let model = try await ImageModel(trial.model, source: sources(trial))
            try Task.checkCancellation()
            let camera = open()
            do { try await show(camera, with: model) } catch {
                await close(camera)
                throw error
            }
            await close(camera)
            if !Task.isCancelled {
                throw SHViTError.runtimeFailure("The camera stopped.", next: "Open the screen again.")
            }
        } catch {
            phase = Task.isCancelled ? .starting : .failed(error)
        }
    }

    private func show(_ camera: Feed, with model: ImageModel) async throws {
        try await camera.start()
        try Task.checkCancellation()
        (self.camera, phase) = (camera, .running)
        let watching = Task { await watch(camera.interruptions) }
        defer { watching.cancel() }
        for await frame in camera.frames {
            // All frames of a camera have the same size.
            if geometry == nil {
                geometry = try CameraGeometry(frame, preprocessing: model.model.manifest.preprocessing)
            }
            let answer = try await model.analyze(frame)
            try Task.checkCancellation()
            self.answer = answer
            latency.add(answer.inferenceMs)
        }
    }

    private func close(_ camera: Feed) async {
        await camera.stop()
        self.camera = nil
    }

    private func watch(_ interruptions: AsyncStream<Bool>) async {
        for await isInterrupted in interruptions where camera != nil {
            phase = isInterrupted ? .interrupted : .running
        }
    }
}

import Observation
import SHViTDemoCore
import SHViTKit

/// Classifies the camera's frames, one after the other.
@MainActor
@Observable
final class CameraModel {
    /// The state of the screen.
    enum Phase {
        case starting
        case denied
        case running
        case failed(any Error)
    }

    private(set) var phase = Phase.starting
    /// The result for the last frame; nil before the first.
    private(set) var answer: Recognizer.Classification?
    /// The latencies of the last frames, in milliseconds.
    private(set) var latency = RecentLatency()
    /// The camera that the preview shows; nil while there is none.
    private(set) var camera: Camera?

    /// Classifies frames until its task is cancelled.
    func run(_ trial: Trial) async {
        (phase, answer, latency) = (.starting, nil, RecentLatency())
        guard await Camera.isAllowed() else {
            phase = .denied
            return
        }
        let camera = Camera()
        defer {
            camera.stop()
            self.camera = nil
        }
        do {
            let recognizer = try await Recognizer(trial.model, source: Device.source(of: trial))
            try await camera.start()
            (self.camera, phase) = (camera, .running)
            for await frame in camera.frames {
                let answer = try await recognizer.classify(frame)
                try Task.checkCancellation()
                self.answer = answer
                latency.add(answer.inference)
            }
        } catch is CancellationError {
            phase = .starting
        } catch {
            phase = .failed(error)
        }
    }
}

import Observation
import SHViTDemoCore
import SHViTKit

/// Says what is before the camera, frame after frame.
@MainActor
@Observable
final class CameraModel {
    /// What there is to see.
    enum Phase {
        case starting
        case denied
        case running
        case failed(any Error)
    }

    private(set) var phase = Phase.starting
    /// Of the last frame; nil before the first.
    private(set) var answer: Recogniser.Answer?
    /// Of the last frames, in milliseconds.
    private(set) var latency = RecentLatency()
    /// What a preview shows; nil while there is none.
    private(set) var camera: Camera?

    /// Recognises until its task is cancelled.
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
            let recogniser = try await Recogniser(trial.model, source: Device.source(of: trial))
            try await camera.start()
            (self.camera, phase) = (camera, .running)
            for await frame in camera.frames {
                let answer = try await recogniser.answer(frame)
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

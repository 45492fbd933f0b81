import Foundation
import AVFoundation
import SHViTDemoCore
import SHViTKit

/// The back camera's frames. A slow reader gets only the newest frame.
///
/// One queue sets up, starts and stops the session and receives its frames, which makes the class `Sendable`.
final class Camera: NSObject, CameraFeed, @unchecked Sendable {
    /// The session that a preview shows.
    let session = AVCaptureSession()
    /// The frames, for one reader. The stream ends when the camera stops.
    let frames: AsyncStream<CameraFrame>

    /// Whether the system has taken the camera away, at each change.
    let interruptions: AsyncStream<Bool>

    private let queue = DispatchQueue(label: "camera")
    private let arrived: AsyncStream<CameraFrame>.Continuation
    private let changed: AsyncStream<Bool>.Continuation
    private var control = CameraControl()
    private var observers: [any NSObjectProtocol] = []

    override init() {
        (frames, arrived) = AsyncStream.makeStream(of: CameraFrame.self, bufferingPolicy: .bufferingNewest(1))
        (interruptions, changed) = AsyncStream.makeStream(of: Bool.self, bufferingPolicy: .bufferingNewest(1))
        super.init()
    }

    /// Returns whether the app may use the camera. Asks the person if nobody has been asked yet.
    static func isAllowed() async -> Bool {
        switch AVCaptureDevice.authorizationStatus(for: .video) {
        case .authorized: true
        case .notDetermined: await AVCaptureDevice.requestAccess(for: .video)
        case .denied, .restricted: false
        @unknown default: false
        }
    }

    /// Starts the camera.
    ///
    /// - Throws: `SHViTError` if there is no camera, or it cannot be used.
    func start() async throws {
        try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, any Error>) in
            queue.async { [self] in
                done.resume(with: Result { try handle(.start) })
            }
        }
    }

    /// Stops the camera and ends the stream of frames.
    func stop() async {
        await withCheckedContinuation { done in
            queue.async { [self] in
                try? handle(.stop)
                done.resume()
            }
        }
    }

    /// Does what an event calls for, on the queue.
    private func handle(_ event: CameraControl.Event) throws {
        dispatchPrecondition(condition: .onQueue(queue))
        switch control.command(after: event) {
        case .open:
            observe()
            do { try connect() } catch {
                try handle(.refused)
                throw error
            }
            session.startRunning()
        case .resume: session.startRunning()
        case .close:
            observers.forEach(NotificationCenter.default.removeObserver)
            observers = []
            session.stopRunning()
            end()
        case .end: end()
        case nil: break
        }
    }

    private func end() {
        arrived.finish()
        changed.finish()
    }

    /// Follows the system, which takes the camera away for calls and other apps, and may stop the session.
    private func observe() {
        let events: [(NSNotification.Name, CameraControl.Event)] = [
            (AVCaptureSession.wasInterruptedNotification, .interruption),
            (AVCaptureSession.interruptionEndedNotification, .interruptionEnd),
            (AVCaptureSession.runtimeErrorNotification, .fault),
        ]
        observers = events.map { name, event in
            NotificationCenter.default.addObserver(forName: name, object: session, queue: nil) { [weak self] _ in
                self?.note(event)
            }
        }
    }

    private func note(_ event: CameraControl.Event) {
        queue.async { [self] in
            try? handle(event)
            if control.state != .ended { changed.yield(control.state == .interrupted) }
        }
    }

    private func connect() throws {
        guard let device = AVCaptureDevice.default(.builtInWideAngleCamera, for: .video, position: .back) else {
            throw SHViTError.runtimeFailure("This device has no back camera.", next: "Choose a photo instead.")
        }
        let input = try AVCaptureDeviceInput(device: device)
        let output = AVCaptureVideoDataOutput()
        output.videoSettings = [kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_32BGRA]
        output.alwaysDiscardsLateVideoFrames = true
        output.setSampleBufferDelegate(self, queue: queue)

        session.beginConfiguration()
        defer { session.commitConfiguration() }
        session.sessionPreset = .vga640x480
        guard session.canAddInput(input), session.canAddOutput(output) else {
            throw SHViTError.runtimeFailure(
                "The camera cannot be used.", why: "Another app may be using it.",
                next: "Close other apps and try again.")
        }
        session.addInput(input)
        session.addOutput(output)
        // The preprocessor turns the few pixels that it reads, which costs less than turning the frame.
        if let connection = output.connection(with: .video), connection.isVideoRotationAngleSupported(0) {
            connection.videoRotationAngle = 0
        }
    }
}

extension Camera: AVCaptureVideoDataOutputSampleBufferDelegate {
    func captureOutput(
        _ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer, from connection: AVCaptureConnection
    ) {
        guard let buffer = CMSampleBufferGetImageBuffer(sampleBuffer) else { return }
        try? handle(.frame)
        let orientation = CameraControl.orientation(ofFrameTurnedBy: Int(connection.videoRotationAngle))
        arrived.yield(CameraFrame(buffer, orientation: orientation))
    }
}

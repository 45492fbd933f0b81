import Foundation
import AVFoundation
import SHViTKit

/// The back camera's upright frames. A slow reader gets only the newest frame.
///
/// One queue sets up, starts and stops the session and receives its frames, which makes the class `Sendable`.
final class Camera: NSObject, @unchecked Sendable {
    /// The session that a preview shows.
    let session = AVCaptureSession()
    /// The frames, for one reader. The stream ends when the camera stops.
    let frames: AsyncStream<RGBImage>

    private let queue = DispatchQueue(label: "camera")
    private let arrived: AsyncStream<RGBImage>.Continuation

    override init() {
        (frames, arrived) = AsyncStream.makeStream(of: RGBImage.self, bufferingPolicy: .bufferingNewest(1))
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
                do {
                    try connect()
                    session.startRunning()
                    done.resume()
                } catch {
                    done.resume(throwing: error)
                }
            }
        }
    }

    /// Stops the camera and ends the stream of frames.
    func stop() {
        queue.async { [self] in
            session.stopRunning()
            arrived.finish()
        }
    }

    private func connect() throws {
        guard let device = AVCaptureDevice.default(.builtInWideAngleCamera, for: .video, position: .back) else {
            throw SHViTError("This device has no back camera.", next: "Choose a photo instead.")
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
            throw SHViTError(
                "The camera cannot be used.", why: "Another app may be using it.",
                next: "Close other apps and try again.")
        }
        session.addInput(input)
        session.addOutput(output)
        // The sensor is mounted in landscape; the app is used in portrait.
        if let connection = output.connection(with: .video), connection.isVideoRotationAngleSupported(90) {
            connection.videoRotationAngle = 90
        }
    }
}

extension Camera: AVCaptureVideoDataOutputSampleBufferDelegate {
    func captureOutput(
        _ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer, from connection: AVCaptureConnection
    ) {
        guard let buffer = CMSampleBufferGetImageBuffer(sampleBuffer), let frame = try? RGBImage(buffer) else {
            return
        }
        arrived.yield(frame)
    }
}

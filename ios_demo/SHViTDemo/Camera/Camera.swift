import Foundation
import AVFoundation
import SHViTKit

/// The back camera's frames, upright; whoever is slower than the camera gets the newest alone.
///
/// The session is set up, started and stopped on one queue, where its frames arrive too: that makes it `Sendable`.
final class Camera: NSObject, @unchecked Sendable {
    /// What a preview shows.
    let session = AVCaptureSession()
    /// Ends when the camera is stopped; for one reader.
    let frames: AsyncStream<RGBImage>

    private let queue = DispatchQueue(label: "camera")
    private let arrived: AsyncStream<RGBImage>.Continuation

    override init() {
        (frames, arrived) = AsyncStream.makeStream(of: RGBImage.self, bufferingPolicy: .bufferingNewest(1))
        super.init()
    }

    /// Whether the app may use the camera; asks where nobody has been asked yet.
    static func isAllowed() async -> Bool {
        switch AVCaptureDevice.authorizationStatus(for: .video) {
        case .authorized: true
        case .notDetermined: await AVCaptureDevice.requestAccess(for: .video)
        case .denied, .restricted: false
        @unknown default: false
        }
    }

    /// Begins to take frames.
    ///
    /// - Throws: `SHViTError` where there is no camera, or it cannot be used.
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

    /// Takes no more frames.
    func stop() {
        queue.async { [self] in
            session.stopRunning()
            arrived.finish()
        }
    }

    private func connect() throws {
        guard let device = AVCaptureDevice.default(.builtInWideAngleCamera, for: .video, position: .back) else {
            throw SHViTError("There is no back camera.", next: "Choose a photo instead.")
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
                "The camera cannot be used.", why: "Another app may have it.", next: "Close other apps, and try again.")
        }
        session.addInput(input)
        session.addOutput(output)
        // The sensor lies on its side; the app is held upright.
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

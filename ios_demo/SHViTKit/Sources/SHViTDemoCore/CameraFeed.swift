import SHViTKit

/// A camera that opens once and delivers frames.
public protocol CameraFeed: AnyObject, Sendable {
    /// A frame.
    associatedtype Frame: PictureSource
    /// The frames, for one reader. The stream ends when the camera stops.
    var frames: AsyncStream<Frame> { get }
    /// Whether the system has taken the camera away, at each change.
    var interruptions: AsyncStream<Bool> { get }
    /// Opens the camera.
    func start() async throws
    /// Closes the camera if it is open; it does not open again.
    func stop() async
}

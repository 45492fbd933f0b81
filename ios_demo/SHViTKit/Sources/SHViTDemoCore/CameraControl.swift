/// Decides when a camera opens and closes. It opens once, and closes as often as it opened.
public struct CameraControl: Equatable, Sendable {
    /// The state of the camera.
    public enum State: Equatable, Sendable {
        /// It has not been opened.
        case waiting
        /// It delivers frames.
        case open
        /// The system has taken it away, for a call or another app.
        case interrupted
        /// It is closed, for good.
        case ended
    }

    /// What happens to the camera.
    public enum Event: CaseIterable, Sendable {
        /// The app wants frames.
        case start
        /// The app wants no more frames.
        case stop
        /// The camera could not be opened.
        case refused
        /// The system takes the camera away.
        case interruption
        /// The system gives the camera back.
        case interruptionEnd
        /// The session stopped with an error.
        case fault
        /// A frame arrived.
        case frame
    }

    /// What to do with the camera.
    public enum Command: Sendable {
        /// Connects the camera and starts it.
        case open
        /// Starts the connected camera again.
        case resume
        /// Stops the camera and ends its frames.
        case close
        /// Ends the frames of a camera that never opened.
        case end
    }

    /// The current state.
    public private(set) var state = State.waiting
    /// How often the camera was opened.
    public private(set) var opens = 0
    /// How often the camera was closed.
    public private(set) var closes = 0
    /// Whether the session was started again and has delivered no frame since.
    private var isResumed = false

    /// Creates the state of a camera that has not been opened.
    public init() {}

    /// Returns what to do after an event; nil for nothing.
    public mutating func command(after event: Event) -> Command? {
        switch (state, event) {
        case (.waiting, .start):
            (state, opens) = (.open, opens + 1)
            return .open
        case (.waiting, .stop):
            state = .ended
            return .end
        case (.open, .stop), (.interrupted, .stop), (.open, .refused): return close()
        case (.open, .interruption): state = .interrupted
        case (.interrupted, .interruptionEnd):
            state = .open
            return .resume
        case (.open, .fault):
            // A session that fails again before any frame would fail forever.
            if isResumed { return close() }
            isResumed = true
            return .resume
        case (.open, .frame): isResumed = false
        default: break
        }
        return nil
    }

    /// Returns the EXIF orientation of a frame in an app that is used upright.
    ///
    /// - Parameter angle: By how many degrees clockwise the camera has turned the frame already. The sensor is mounted in
    ///   landscape: its frames need 90.
    public static func orientation(ofFrameTurnedBy angle: Int) -> Int {
        switch angle {
        case 0: 6
        case 90: 1
        case 180: 8
        case 270: 3
        default: 1
        }
    }

    private mutating func close() -> Command {
        (state, closes) = (.ended, closes + 1)
        return .close
    }
}

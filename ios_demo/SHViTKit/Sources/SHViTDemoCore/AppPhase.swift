/// Whether the app is on the screen.
public enum AppPhase: CaseIterable, Sendable {
    /// The person uses the app.
    case active
    /// Something lies over the app, such as the question whether it may use the camera, a call, or the app switcher.
    case inactive
    /// The app has left the screen. The system takes the camera away, and gives an app neither the GPU nor much time.
    case background

    /// Whether the app keeps the camera and goes on measuring.
    public var isOnScreen: Bool { self != .background }
}

/// A clock that measures durations. Tests implement their own.
public struct Stopwatch: Sendable {
    /// The time since a fixed moment; it never decreases.
    public let now: @Sendable () -> Duration

    /// Creates a stopwatch from a function.
    public init(now: @escaping @Sendable () -> Duration) {
        self.now = now
    }

    /// The system's monotonic clock.
    public static var monotonic: Stopwatch {
        let start = ContinuousClock.now
        return Stopwatch { ContinuousClock.now - start }
    }
}

extension Duration {
    /// The duration in seconds.
    var seconds: Double { self / .seconds(1) }
    /// The duration in milliseconds.
    var milliseconds: Double { self / .milliseconds(1) }
}

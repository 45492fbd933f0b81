/// Tells the time since some moment; a test has its own.
public struct Stopwatch: Sendable {
    /// The time since that moment; never goes back.
    public let now: @Sendable () -> Duration

    /// A stopwatch of one's own.
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
    /// As a number.
    var seconds: Double { self / .seconds(1) }
    /// As a number.
    var milliseconds: Double { self / .milliseconds(1) }
}

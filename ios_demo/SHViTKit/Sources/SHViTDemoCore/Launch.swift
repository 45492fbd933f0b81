import SHViTKit

/// How the app was started: without arguments it shows its screens, with `-benchmark` it measures and ends.
public enum Launch: Sendable {
    /// It shows its screens.
    case byHand
    /// It measures, and ends.
    case headless(BenchmarkRequest)
    /// It says what is wrong, and ends.
    case refused(SHViTError)

    /// - Parameter arguments: the program's, without its own name.
    public init(arguments: [String]) {
        do { self = try BenchmarkRequest(arguments).map(Launch.headless) ?? .byHand } catch { self = .refused(error) }
    }
}

import SHViTKit

/// How the app was started: by a person, or by a computer with `-benchmark`.
public enum Launch: Sendable {
    /// The app shows its screens.
    case byHand
    /// The app measures and exits.
    case headless(BenchmarkRequest)
    /// The arguments are invalid: the app prints the error and exits.
    case refused(SHViTError)

    /// - Parameter arguments: The program's arguments without its name.
    public init(arguments: [String]) {
        do { self = try BenchmarkRequest(arguments).map(Launch.headless) ?? .byHand } catch { self = .refused(error) }
    }
}

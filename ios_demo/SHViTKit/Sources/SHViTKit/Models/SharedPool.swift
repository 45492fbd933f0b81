import Foundation

/// The thread pool that all loaded models of an app share.
///
/// ExecuTorch replaces its pool when the number of threads changes, while loaded models still use the old one, which
/// crashes the app. So all models that are loaded at the same time must use the same number.
///
/// `@unchecked`, since a lock guards its state.
package final class SharedPool: @unchecked Sendable {
    private let resize: @Sendable (Int) -> Bool
    private let lock = NSLock()
    private var threads = 0
    private var users = 0

    /// - Parameter resize: Gives the pool a number of threads, 0 for the standard one; returns whether it could.
    package init(resize: @escaping @Sendable (Int) -> Bool) {
        self.resize = resize
    }

    /// Registers a model before it is loaded. Call `leave()` once when it is freed.
    ///
    /// - Parameter threads: The number of threads; 0 lets ExecuTorch choose.
    /// - Throws: `invalidSettings` if the number is below 0, or models with another number are loaded.
    package func enter(threads: Int) throws(SHViTError) {
        lock.lock()
        defer { lock.unlock() }
        guard threads >= 0, threads <= Int(UInt32.max) else {
            throw .invalidSettings("A model cannot use \(threads) threads.", why: "0 lets ExecuTorch choose.")
        }
        if users > 0, threads != self.threads {
            throw .invalidSettings(
                "A model with \(threads) threads cannot be loaded while one with \(self.threads) is.",
                why: "ExecuTorch has one thread pool for all models of an app.", next: "Free the other models first.")
        }
        if users == 0, !resize(threads) {
            throw .runtimeFailure("ExecuTorch has no thread pool.", why: "\(threads) threads were asked for.")
        }
        self.threads = threads
        users += 1
    }

    /// Removes a model that has been freed.
    package func leave() {
        lock.withLock { users -= 1 }
    }
}

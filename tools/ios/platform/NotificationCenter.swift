import Foundation

/// Counts the observers of the app's sources, which are compiled with this one: it hides Foundation's class of that name.
final class NotificationCenter: Sendable {
    static let `default` = NotificationCenter()

    func addObserver(
        forName name: NSNotification.Name?, object: Any?, queue: OperationQueue?,
        using block: @escaping @Sendable (Notification) -> Void
    ) -> any NSObjectProtocol {
        Observers.add(1)
        return Foundation.NotificationCenter.default.addObserver(
            forName: name, object: object, queue: queue, using: block)
    }

    func removeObserver(_ observer: Any) {
        Observers.add(-1)
        Foundation.NotificationCenter.default.removeObserver(observer)
    }
}

/// How many observers were added and not removed.
enum Observers {
    private static let lock = NSLock()
    nonisolated(unsafe) private static var number = 0

    static var count: Int { lock.withLock { number } }
    static func add(_ change: Int) { lock.withLock { number += change } }
}

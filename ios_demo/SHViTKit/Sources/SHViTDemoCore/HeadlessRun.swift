import Foundation
import SHViTKit

/// A benchmark started by launch arguments: it measures, writes the report, and returns an exit status.
public struct HeadlessRun: Sendable {
    /// The exit status, with the same values as those of `shvit-mobile`.
    public enum ExitStatus: Int32, Sendable {
        /// Everything was measured.
        case done = 0
        /// Something could not be measured.
        case failed = 1
        /// The arguments or the embedded models are invalid.
        case wrongInput = 2
    }

    private let store: ModelStore
    private let documents: URL
    private let benchmark: Benchmark
    private let about: Profiler.About
    private let log: @Sendable (String) -> Void

    /// - Parameters:
    ///   - store: The app's models.
    ///   - documents: The folder for the report.
    ///   - benchmark: Measures the models.
    ///   - about: What the report says about the app and the device.
    ///   - log: Prints a line for the person who started the benchmark.
    public init(
        store: ModelStore, documents: URL, benchmark: Benchmark, about: Profiler.About,
        log: @escaping @Sendable (String) -> Void
    ) {
        self.store = store
        self.documents = documents
        self.benchmark = benchmark
        self.about = about
        self.log = log
    }

    /// Runs the benchmark. Logs each tenth of the progress. A cancelled run writes no report: the app left the screen.
    public func run(_ request: BenchmarkRequest) async -> ExitStatus {
        let listing = store.listing()
        for problem in listing.problems { log("error: \(problem)") }
        let trials: [Trial]
        do { trials = try request.trials(of: listing.models) } catch {
            log("error: \(error)")
            return .wrongInput
        }
        do {
            let steps = Steps(log: log)
            let outcome = try await benchmark.measure(trials, plan: request.plan, about: about) { steps.tell($0) }
            try Task.checkCancellation()
            for failure in outcome.failures { log("error: \(failure.name): \(failure.reason)") }
            guard let report = outcome.report else { return .failed }
            for result in report.results { log(Wording.summary(of: result)) }
            let place = documents.appending(path: request.output)
            try Document(report).write(to: place)
            log("Report: \(place.path)")
            return outcome.failures.isEmpty && listing.problems.isEmpty ? .done : .failed
        } catch is CancellationError {
            log("error: \(Wording.reason(Wording.leftScreen))")
            return .failed
        } catch {
            log("error: \(Wording.reason(error))")
            return .failed
        }
    }
}

/// Logs a line for each tenth of a benchmark.
private final class Steps: @unchecked Sendable {
    private let log: @Sendable (String) -> Void
    private let lock = NSLock()
    private var told = -1

    init(log: @escaping @Sendable (String) -> Void) {
        self.log = log
    }

    func tell(_ progress: Profiler.Progress) {
        let tenth = Int(progress.fraction * 10)
        let isNew = lock.withLock {
            defer { told = max(told, tenth) }
            return tenth > told
        }
        if isNew { log("\(tenth * 10)% \(progress.contestant)") }
    }
}

/// A benchmark started by launch arguments that ends when the app leaves the screen.
@MainActor
public final class HeadlessModel {
    private let run: @Sendable () async -> HeadlessRun.ExitStatus
    private let exit: @MainActor (Int32) -> Void
    private var task: Task<Void, Never>?

    /// - Parameters:
    ///   - run: The benchmark.
    ///   - exit: Ends the app with a status; called once.
    public init(
        run: @escaping @Sendable () async -> HeadlessRun.ExitStatus, exit: @escaping @MainActor (Int32) -> Void
    ) {
        (self.run, self.exit) = (run, exit)
    }

    /// Starts the benchmark, once.
    public func start() {
        guard task == nil else { return }
        task = Task { exit(await run().rawValue) }
    }

    /// Cancels the benchmark if the app leaves the screen: latencies in the background mean nothing.
    public func follow(_ appPhase: AppPhase) {
        if !appPhase.isOnScreen { task?.cancel() }
    }

    /// Waits until the app has been told to end.
    func waitUntilFinished() async {
        await task?.value
    }
}

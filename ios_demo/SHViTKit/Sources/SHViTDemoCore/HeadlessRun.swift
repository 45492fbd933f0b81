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

    /// Runs the benchmark.
    public func run(_ request: BenchmarkRequest) async -> ExitStatus {
        let listing = store.listing()
        for problem in listing.problems { log("error: \(problem)") }
        let trials: [Trial]
        do { trials = try request.trials(of: listing.models) } catch {
            log("error: \(error)")
            return .wrongInput
        }
        do {
            let outcome = try await benchmark.measure(trials, plan: request.plan, about: about)
            for failure in outcome.failures { log("error: \(failure.name): \(failure.reason)") }
            guard let report = outcome.report else { return .failed }
            for result in report.results { log(Wording.summary(of: result)) }
            let place = documents.appending(path: request.output)
            try Document(report).write(to: place)
            log("Report: \(place.path)")
            return outcome.failures.isEmpty && listing.problems.isEmpty ? .done : .failed
        } catch {
            log("error: \(Wording.reason(error))")
            return .failed
        }
    }
}

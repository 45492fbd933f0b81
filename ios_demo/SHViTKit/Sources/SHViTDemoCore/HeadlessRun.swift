import Foundation
import SHViTKit

/// A benchmark that launch arguments ask for: it measures, writes the report, and ends with an exit status.
public struct HeadlessRun: Sendable {
    /// What a run ends with, as `shvit-mobile` does.
    public enum ExitStatus: Int32, Sendable {
        /// All was measured.
        case done = 0
        /// Something could not be measured.
        case failed = 1
        /// The arguments, or what is in the app, are wrong.
        case wrongInput = 2
    }

    private let store: ModelStore
    private let documents: URL
    private let benchmark: Benchmark
    private let about: Profiler.About
    private let say: @Sendable (String) -> Void

    /// - Parameters:
    ///   - store: the app's models.
    ///   - documents: where the report is written.
    ///   - benchmark: measures.
    ///   - about: what the report says of the app and the device.
    ///   - say: takes each line that a person is to read.
    public init(
        store: ModelStore, documents: URL, benchmark: Benchmark, about: Profiler.About,
        say: @escaping @Sendable (String) -> Void
    ) {
        self.store = store
        self.documents = documents
        self.benchmark = benchmark
        self.about = about
        self.say = say
    }

    /// Does what is asked for.
    public func run(_ request: BenchmarkRequest) async -> ExitStatus {
        let listing = store.listing()
        for problem in listing.problems { say("error: \(problem)") }
        let trials: [Trial]
        do { trials = try request.trials(of: listing.models) } catch {
            say("error: \(error)")
            return .wrongInput
        }
        do {
            let outcome = try await benchmark.measure(trials, plan: request.plan, about: about)
            for failure in outcome.failures { say("error: \(failure.name): \(failure.reason)") }
            guard let report = outcome.report else { return .failed }
            for result in report.results { say(Wording.summary(of: result)) }
            let place = documents.appending(path: request.output)
            try Document(report).write(to: place)
            say("The report is in \(place.path)")
            return outcome.failures.isEmpty && listing.problems.isEmpty ? .done : .failed
        } catch {
            say("error: \(Wording.reason(error))")
            return .failed
        }
    }
}

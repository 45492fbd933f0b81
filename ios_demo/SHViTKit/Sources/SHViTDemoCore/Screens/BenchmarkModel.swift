import Foundation
import Observation
import SHViTKit

/// A benchmark on this phone: what is chosen, how far it is, what came of it.
@MainActor
@Observable
public final class BenchmarkModel {
    /// What there is to see.
    public enum Phase {
        /// What may be chosen.
        case ready
        /// How far it is; nil before the first turn.
        case running(Profiler.Progress?)
        /// What came of it, and the report's file where there is one.
        case finished(Benchmark.Outcome, report: URL?)
        /// Why nothing did.
        case failed(any Error)
    }

    /// What there is to see now.
    public private(set) var phase = Phase.ready
    /// The names of the models to measure.
    public var chosen: Set<EmbeddedModel.ID>
    /// For Core ML.
    public var computes = Set(DeviceReport.Compute.allCases)
    /// How often each has its turn.
    public var rounds = 12
    /// Of each turn.
    public var iterations = 20
    /// Whether each also runs without a pause afterwards.
    public var isSustained = false
    /// Of such a run.
    public var seconds = 60

    private let models: [EmbeddedModel]
    private let benchmark: Benchmark
    private let about: @MainActor () -> Profiler.About
    private let documents: URL
    private var task: Task<Void, Never>?

    /// - Parameters:
    ///   - models: that may be chosen; all are at first.
    ///   - benchmark: measures.
    ///   - about: what a report says of the app and the phone.
    ///   - documents: where the report is written.
    public init(
        models: [EmbeddedModel], benchmark: Benchmark, about: @escaping @MainActor () -> Profiler.About, documents: URL
    ) {
        self.models = models
        self.benchmark = benchmark
        self.about = about
        self.documents = documents
        chosen = Set(models.map(\.id))
    }

    /// What the choice amounts to.
    public var trials: [Trial] {
        Trial.all(
            of: models.filter { chosen.contains($0.id) },
            computes: DeviceReport.Compute.allCases.filter(computes.contains))
    }

    /// Whether anything is being measured.
    public var isRunning: Bool {
        if case .running = phase { true } else { false }
    }

    /// Measures what is chosen.
    public func start() {
        task = Task { await measure() }
    }

    /// Ends between two inferences; no report is written.
    public func cancel() {
        task?.cancel()
    }

    /// Ends what is running, with a reason to read: away from the screen the system gives an app neither the GPU nor time.
    public func interrupt() {
        guard isRunning else { return }
        task?.cancel()
        phase = .failed(
            SHViTError(
                "The app left the screen, and the measurement ended.", why: "Away from it, figures would mean nothing.",
                next: "Measure again, and leave the app in front."))
    }

    /// Waits for what was started.
    func finished() async {
        await task?.value
    }

    private func measure() async {
        phase = .running(nil)
        do {
            let plan = try Profiler.Plan(
                turn: .iterations(iterations), rounds: rounds, sustained: isSustained ? Double(seconds) : 0)
            let outcome = try await outcome(of: plan)
            phase = .finished(outcome, report: try outcome.report.map(write))
        } catch is CancellationError {
            // Where it was interrupted, the reason stays.
            if isRunning { phase = .ready }
        } catch {
            phase = .failed(error)
        }
    }

    private func outcome(of plan: Profiler.Plan) async throws -> Benchmark.Outcome {
        let (steps, continuation) = AsyncStream.makeStream(
            of: Profiler.Progress.self, bufferingPolicy: .bufferingNewest(1))
        let watching = Task { await watch(steps) }
        defer {
            continuation.finish()
            watching.cancel()
        }
        return try await benchmark.measure(trials, plan: plan, about: about()) { continuation.yield($0) }
    }

    /// Shows a step only where it can be seen: drawing takes the processors that are measured.
    private func watch(_ steps: AsyncStream<Profiler.Progress>) async {
        var shown = -1
        for await step in steps where isRunning && Int(step.fraction * 100) > shown {
            shown = Int(step.fraction * 100)
            phase = .running(step)
        }
    }

    private func write(_ report: DeviceReport) throws -> URL {
        let place = documents.appending(path: "report.json")
        try Document(report).write(to: place)
        return place
    }
}

import Foundation
import Observation
import SHViTKit

/// The state of the benchmark screen: selection, progress and results.
@MainActor
@Observable
public final class BenchmarkModel {
    /// The state of the screen.
    public enum Phase {
        /// The person selects what to measure.
        case ready
        /// The benchmark runs; the progress is nil before the first round.
        case running(Profiler.Progress?)
        /// The benchmark is done. `report` is the report's file, if there is one.
        case finished(Benchmark.Outcome, report: URL?)
        /// The benchmark failed.
        case failed(any Error)
    }

    /// The current state.
    public private(set) var phase = Phase.ready
    /// The names of the models to measure.
    public var chosen: Set<EmbeddedModel.ID>
    /// The compute units for Core ML models.
    public var computes = Set(DeviceReport.Compute.allCases)
    /// The number of rounds.
    public var rounds = 12
    /// The length of each model's turn in a round, in seconds.
    public var turn = 1.0
    /// Whether a sustained run follows the rounds.
    public var isSustained = false
    /// The length of a sustained run, in seconds.
    public var seconds = 60

    private let models: [EmbeddedModel]
    private let benchmark: Benchmark
    private let about: @MainActor () -> Profiler.About
    private let documents: URL
    private var task: Task<Void, Never>?
    /// The number of the current run. A run that is no longer the current one changes nothing.
    private var run = 0

    /// - Parameters:
    ///   - models: The models to choose from. All are selected at first.
    ///   - benchmark: Measures the models.
    ///   - about: What the report says about the app and the phone.
    ///   - documents: The folder for the report.
    public init(
        models: [EmbeddedModel], benchmark: Benchmark, about: @escaping @MainActor () -> Profiler.About, documents: URL
    ) {
        self.models = models
        self.benchmark = benchmark
        self.about = about
        self.documents = documents
        chosen = Set(models.map(\.id))
    }

    /// The trials that are selected.
    public var trials: [Trial] {
        Trial.all(
            of: models.filter { chosen.contains($0.id) },
            computes: DeviceReport.Compute.allCases.filter(computes.contains))
    }

    /// Whether the benchmark runs.
    public var isRunning: Bool {
        if case .running = phase { true } else { false }
    }

    /// Starts the benchmark.
    public func start() {
        let before = task
        before?.cancel()
        run += 1
        phase = .running(nil)
        let mine = run
        task = Task {
            // Two runs at once would slow each other down.
            await before?.value
            await measure(mine)
        }
    }

    /// Cancels the benchmark between two inferences. No report is written.
    public func cancel() {
        task?.cancel()
    }

    /// Cancels the benchmark with an error if the app leaves the screen.
    public func follow(_ appPhase: AppPhase) {
        guard isRunning, !appPhase.isOnScreen else { return }
        task?.cancel()
        run += 1
        phase = .failed(Wording.leftScreen)
    }

    /// Waits until the benchmark is done.
    func waitUntilFinished() async {
        await task?.value
    }

    private func measure(_ mine: Int) async {
        let end: Phase
        do {
            try Task.checkCancellation()
            let plan = try Profiler.Plan(
                turn: .seconds(turn), rounds: rounds, sustained: isSustained ? Double(seconds) : 0)
            let outcome = try await outcome(of: plan, in: mine)
            try Task.checkCancellation()
            end = .finished(outcome, report: try outcome.report.map(write))
        } catch is CancellationError {
            end = .ready
        } catch {
            end = .failed(error)
        }
        // An interrupted benchmark already shows its reason, and a later one its own state.
        if run == mine { phase = end }
    }

    private func outcome(of plan: Profiler.Plan, in mine: Int) async throws -> Benchmark.Outcome {
        let (steps, continuation) = AsyncStream.makeStream(
            of: Profiler.Progress.self, bufferingPolicy: .bufferingNewest(1))
        let watching = Task { await watch(steps, in: mine) }
        defer {
            continuation.finish()
            watching.cancel()
        }
        return try await benchmark.measure(trials, plan: plan, about: about()) { continuation.yield($0) }
    }

    /// Shows a step only if the displayed percentage changes: drawing uses the processors being measured.
    private func watch(_ steps: AsyncStream<Profiler.Progress>, in mine: Int) async {
        var shown = -1
        for await step in steps where run == mine && isRunning && Int(step.fraction * 100) > shown {
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

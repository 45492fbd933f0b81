import Foundation
import Observation
import SHViTDemoCore
import SHViTKit

/// A benchmark on this phone: what is chosen, how far it is, what came of it.
@MainActor
@Observable
final class BenchmarkModel {
    /// When a measurement of one model ends.
    enum Mode: String, CaseIterable {
        case iterations, sustained
    }

    /// What there is to see.
    enum Phase {
        case ready
        case running(Profiler.Progress?)
        case finished(Benchmark.Outcome, report: URL?)
        case failed(any Error)
    }

    private(set) var phase = Phase.ready
    /// The names of the models to measure.
    var chosen: Set<EmbeddedModel.ID>
    /// For Core ML.
    var computes = Set(DeviceReport.Compute.allCases)
    var mode = Mode.iterations
    var iterations = 200
    /// Of a sustained run.
    var seconds = 60

    private let models: [EmbeddedModel]
    private var task: Task<Void, Never>?

    init(models: [EmbeddedModel]) {
        self.models = models
        chosen = Set(models.map(\.id))
    }

    /// What the choice amounts to.
    var trials: [Trial] {
        Trial.all(
            of: models.filter { chosen.contains($0.id) },
            computes: DeviceReport.Compute.allCases.filter(computes.contains))
    }

    var isRunning: Bool {
        if case .running = phase { true } else { false }
    }

    func start() {
        task = Task { await measure() }
    }

    /// Ends between two inferences; no report is written.
    func cancel() {
        task?.cancel()
    }

    private func measure() async {
        phase = .running(nil)
        do {
            let extent: Profiler.Extent = mode == .iterations ? .iterations(iterations) : .seconds(Double(seconds))
            let outcome = try await outcome(of: .init(extent: extent))
            phase = .finished(outcome, report: try outcome.report.map(Self.write))
        } catch is CancellationError {
            phase = .ready
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
        return try await Device.benchmark.measure(trials, plan: plan, about: Device.about()) { progress in
            continuation.yield(progress)
        }
    }

    /// Shows a step only where it can be seen: drawing takes the processors that are measured.
    private func watch(_ steps: AsyncStream<Profiler.Progress>) async {
        var shown = -1
        for await step in steps where isRunning && Int(step.fraction * 100) > shown {
            shown = Int(step.fraction * 100)
            phase = .running(step)
        }
    }

    private nonisolated static func write(_ report: DeviceReport) throws -> URL {
        let place = URL.documentsDirectory.appending(path: "report.json")
        try Document(report).write(to: place)
        return place
    }
}

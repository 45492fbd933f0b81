import SHViTDemoCore
import SHViTKit
import SwiftUI
import UIKit

/// Measures models on each set of processors and shares the report as JSON.
struct BenchmarkScreen: View {
    let model: BenchmarkModel
    let models: [EmbeddedModel]

    var body: some View {
        NavigationStack {
            if models.isEmpty {
                NoModelView()
            } else {
                Form {
                    Section { BenchmarkControl(model: model) }
                    BenchmarkResults(phase: model.phase)
                    BenchmarkChoice(model: model, models: models)
                        .disabled(model.isRunning)
                }
                .navigationTitle("Benchmark")
            }
        }
        // A locked phone suspends the app.
        .onChange(of: model.isRunning) { _, isRunning in
            UIApplication.shared.isIdleTimerDisabled = isRunning
        }
    }
}

/// Starts and cancels the benchmark and shows its progress.
private struct BenchmarkControl: View {
    let model: BenchmarkModel

    var body: some View {
        if case .running(let progress) = model.phase {
            ProgressView(value: progress?.fraction ?? 0) {
                Text(progress?.contestant ?? "Verifying the artifacts")
            } currentValueLabel: {
                Text(Wording.percent(progress?.fraction ?? 0))
            }
            Text(
                "Do not use the phone until the benchmark is done. Other work, the camera above all, slows the models down."
            )
            .font(.footnote)
            .foregroundStyle(.secondary)
            Button("Cancel", role: .cancel) { model.cancel() }
        } else {
            Button("Run \(model.trials.count) measurements", systemImage: "play.fill") { model.start() }
                .disabled(model.trials.isEmpty)
        }
    }
}

/// The results of the benchmark, or why it failed.
private struct BenchmarkResults: View {
    let phase: BenchmarkModel.Phase

    var body: some View {
        switch phase {
        case .ready, .running: EmptyView()
        case .failed(let error): Section("Benchmark failed") { TroubleText(error) }
        case .finished(let outcome, let report):
            Section("Results") {
                ForEach(Array((outcome.report?.results ?? []).enumerated()), id: \.offset) { _, result in
                    NavigationLink {
                        ResultScreen(result: result)
                    } label: {
                        ResultRow(result: result)
                    }
                }
                ForEach(outcome.failures) { failure in
                    TroubleText(reason: "\(failure.name): \(failure.reason)")
                }
                if let report {
                    ShareLink(item: report) { Label("Share the report", systemImage: "square.and.arrow.up") }
                }
            }
        }
    }
}

/// A result in two lines.
private struct ResultRow: View {
    let result: DeviceReport.Result

    var body: some View {
        VStack(alignment: .leading) {
            LabeledContent(result.name, value: Wording.milliseconds(result.latency.p50))
            Text(Wording.compute(result.compute))
                .font(.caption)
                .foregroundStyle(.secondary)
        }
        .accessibilityElement(children: .ignore)
        .accessibilityLabel(Wording.summary(of: result))
    }
}

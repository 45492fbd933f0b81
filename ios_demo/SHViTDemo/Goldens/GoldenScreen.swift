import SHViTDemoCore
import SHViTKit
import SwiftUI

/// Runs the golden check: compares this phone's preprocessing and outputs with those of the exporting computer.
struct GoldenScreen: View {
    @Environment(Catalog.self) private var catalog
    @State private var model = GoldenModel(decoder: Device.photoDecoder(for:), sources: Device.source(of:))

    var body: some View {
        NavigationStack {
            if let trial = catalog.chosen {
                Form {
                    Section {
                        LabeledContent("Model", value: trial.model.id)
                        LabeledContent("Compute units", value: Wording.compute(trial.compute))
                    } footer: {
                        Text("Compares this phone's pixels and outputs with those stored when the model was exported.")
                    }
                    Section {
                        ReducedScaleToggle()
                        button(trial)
                    }
                    outcome
                }
                .onChange(of: trial.id) { model.reset() }
                .navigationTitle("Golden check")
            } else {
                NoModelView()
            }
        }
    }

    @ViewBuilder
    private func button(_ trial: Trial) -> some View {
        if case .checking = model.phase {
            ProgressView("Checking …")
        } else {
            Button("Run the golden check", systemImage: "checkmark.seal") { model.start(trial) }
        }
    }

    @ViewBuilder private var outcome: some View {
        switch model.phase {
        case .ready, .checking: EmptyView()
        case .checked(let outcome): GoldenOutcomeView(outcome: outcome)
        case .failed(let error): Section { TroubleText(error) }
        }
    }
}

/// The results for preprocessing and inference.
private struct GoldenOutcomeView: View {
    let outcome: GoldenOutcome

    var body: some View {
        let sentences = outcome.sentences
        Section("Preprocessing") {
            Verdict(passed: outcome.preprocessing.passed, sentence: sentences.first ?? "")
        }
        Section("Inference") {
            Verdict(passed: outcome.inference.passed, sentence: sentences.last ?? "")
        }
    }
}

/// A result as an icon and a sentence, so that color is never the only sign.
private struct Verdict: View {
    let passed: Bool
    let sentence: String

    var body: some View {
        Label {
            Text(sentence)
        } icon: {
            Image(systemName: passed ? "checkmark.circle.fill" : "xmark.circle.fill")
                .foregroundStyle(passed ? .green : .red)
                .accessibilityHidden(true)
        }
        .accessibilityElement(children: .combine)
    }
}

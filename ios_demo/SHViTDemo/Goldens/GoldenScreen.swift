import SHViTDemoCore
import SHViTKit
import SwiftUI

/// Whether this phone prepares pictures and answers as the computer did that exported the model.
struct GoldenScreen: View {
    @Environment(Catalogue.self) private var catalogue
    @State private var model = GoldenModel(decoder: Device.decoder, sources: Device.source(of:))

    var body: some View {
        NavigationStack {
            if let trial = catalogue.chosen {
                Form {
                    Section {
                        LabeledContent("Model", value: trial.model.id)
                        LabeledContent("Runs on", value: Wording.compute(trial.compute))
                    } footer: {
                        Text("The model's own pictures, with the pixels and answers they had where it was exported.")
                    }
                    Section { button(trial) }
                    outcome
                }
                .onChange(of: trial.id) { model.forget() }
                .navigationTitle("Goldens")
            } else {
                NoModelView()
            }
        }
    }

    @ViewBuilder
    private func button(_ trial: Trial) -> some View {
        if case .checking = model.phase {
            ProgressView("Checking")
        } else {
            Button("Check", systemImage: "checkmark.seal") { model.start(trial) }
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

/// Preprocessing and inference, apart.
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

/// Right or off; told by a shape and by words, not by colour alone, and by words alone to those who listen.
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

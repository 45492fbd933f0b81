import SHViTDemoCore
import SHViTKit
import SwiftUI

/// The likeliest classes with bars, and what the answer took.
struct AnswerView: View {
    let answer: Recogniser.Answer
    /// In milliseconds.
    let latency: Double

    var body: some View {
        VStack(alignment: .leading, spacing: 8) {
            ForEach(answer.guesses) { guess in
                GuessRow(guess: guess)
            }
            Text("Model \(Wording.milliseconds(latency)), preparation \(Wording.milliseconds(answer.preparation))")
                .font(.footnote)
                .foregroundStyle(.secondary)
                .monospacedDigit()
        }
        .padding()
        .background(.regularMaterial, in: RoundedRectangle(cornerRadius: 16))
    }
}

/// One class.
private struct GuessRow: View {
    let guess: Guess

    var body: some View {
        VStack(alignment: .leading, spacing: 2) {
            HStack {
                Text(guess.label)
                Spacer()
                Text(Wording.percent(guess.probability))
                    .monospacedDigit()
            }
            ProgressView(value: guess.probability)
        }
        .accessibilityElement(children: .ignore)
        .accessibilityLabel(guess.label)
        .accessibilityValue(Wording.percent(guess.probability))
    }
}

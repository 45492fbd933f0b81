import SHViTDemoCore
import SHViTKit
import SwiftUI

/// The most likely classes with bars, and the latency.
struct ClassificationView: View {
    let answer: Classification
    /// The model's latency, in milliseconds.
    let latency: Double

    var body: some View {
        VStack(alignment: .leading, spacing: 8) {
            ForEach(answer.predictions) { prediction in
                PredictionRow(prediction: prediction)
            }
            Text(
                "Model \(Wording.milliseconds(latency)), preprocessing \(Wording.milliseconds(answer.preprocessingMs))"
            )
            .font(.footnote)
            .foregroundStyle(.secondary)
            .monospacedDigit()
        }
        .padding()
        .background(.regularMaterial, in: RoundedRectangle(cornerRadius: 16))
    }
}

/// A class and its probability.
private struct PredictionRow: View {
    let prediction: Prediction

    var body: some View {
        VStack(alignment: .leading, spacing: 2) {
            HStack {
                Text(prediction.label)
                Spacer()
                Text(Wording.percent(prediction.probability))
                    .monospacedDigit()
            }
            ProgressView(value: prediction.probability)
        }
        .accessibilityElement(children: .ignore)
        .accessibilityLabel(prediction.label)
        .accessibilityValue(Wording.percent(prediction.probability))
    }
}

import SHViTDemoCore
import SHViTKit
import SwiftUI

/// What a model finds, and its latency.
struct AnalysisView: View {
    let analysis: Analysis
    /// The model's latency, in milliseconds.
    let latency: Double

    var body: some View {
        VStack(alignment: .leading, spacing: 8) {
            switch analysis.finding {
            case .classes(let predictions):
                ForEach(predictions) { ScoreRow(label: $0.label, score: $0.probability) }
            case .objects(let objects):
                if objects.isEmpty { Text("No objects found") }
                ForEach(Array(objects.prefix(Self.mostRows).enumerated()), id: \.offset) { _, object in
                    ScoreRow(label: object.label, score: Double(object.box.score))
                }
                if objects.count > Self.mostRows { Text("\(objects.count - Self.mostRows) more") }
            case .maps:
                EmptyView()
            }
            Text(Wording.latency(of: analysis, inferenceMs: latency))
                .font(.footnote)
                .foregroundStyle(.secondary)
                .monospacedDigit()
        }
        .padding()
        .background(.regularMaterial, in: RoundedRectangle(cornerRadius: 16))
    }

    /// As many as the most likely classes; all boxes are on the picture.
    private static let mostRows = 5
}

/// A class and its probability, or an object's class and score.
private struct ScoreRow: View {
    let label: String
    let score: Double

    var body: some View {
        VStack(alignment: .leading, spacing: 2) {
            HStack {
                Text(label)
                Spacer()
                Text(Wording.percent(score))
                    .monospacedDigit()
            }
            ProgressView(value: score)
        }
        .accessibilityElement(children: .ignore)
        .accessibilityLabel(label)
        .accessibilityValue(Wording.percent(score))
    }
}

/// Frames the objects that a model found, over a view that shows the whole upright picture.
struct BoxesView: View {
    let analysis: Analysis?

    var body: some View {
        if let analysis, case .objects(let objects) = analysis.finding {
            GeometryReader { view in
                ForEach(Array(objects.enumerated()), id: \.offset) { _, object in
                    BoxView(
                        object: object,
                        place: analysis.placement.rectangle(
                            of: object.box, inViewOfWidth: view.size.width, height: view.size.height))
                }
            }
            // The rows say the same to a screen reader.
            .accessibilityHidden(true)
        }
    }
}

/// A box with its label in the upper left corner.
private struct BoxView: View {
    let object: DetectedObject
    let place: ScreenRectangle

    var body: some View {
        Rectangle()
            .stroke(Color.yellow, lineWidth: 2)
            .frame(width: place.width, height: place.height)
            .offset(x: place.left, y: place.top)
        Text("\(object.label) \(Wording.percent(Double(object.box.score)))")
            .font(.caption)
            .lineLimit(1)
            .padding(2)
            .background(.regularMaterial, in: RoundedRectangle(cornerRadius: 4))
            .offset(x: place.left, y: place.top)
    }
}

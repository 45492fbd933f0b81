import Charts
import SHViTDemoCore
import SHViTKit
import SwiftUI

/// One result: percentiles, how the inferences spread, and how they went over time.
struct ResultScreen: View {
    let result: DeviceReport.Result

    var body: some View {
        List {
            Section("Latency") {
                LabeledContent("Median", value: Wording.milliseconds(result.latency.p50))
                LabeledContent("90 of 100 within", value: Wording.milliseconds(result.latency.p90))
                LabeledContent("95 of 100 within", value: Wording.milliseconds(result.latency.p95))
                LabeledContent("99 of 100 within", value: Wording.milliseconds(result.latency.p99))
                LabeledContent("Inferences", value: "\(result.latency.samples)")
            }
            Section("How they spread") { LatencyChart(bars: LatencyBar.bars(of: result)) }
            if result.windows.count > 1 {
                Section("Every ten seconds") { WindowChart(windows: result.windows) }
            }
            if let placement = result.placement, !placement.isEmpty {
                Section("Operators by processor") {
                    ForEach(placement.sorted { $0.key < $1.key }, id: \.key) { processor, count in
                        LabeledContent(processor, value: "\(count)")
                    }
                }
            }
            Section("Starting") {
                if let compiling = result.compileMs {
                    LabeledContent("Compiling, once", value: Wording.milliseconds(compiling))
                }
                LabeledContent("Loading", value: Wording.milliseconds(result.loadMs))
                LabeledContent("First inference", value: Wording.milliseconds(result.firstMs))
                if let peak = result.peakMemoryBytes {
                    LabeledContent("Memory, at most", value: Wording.megabytes(peak))
                }
            }
        }
        .navigationTitle(result.name)
        .navigationBarTitleDisplayMode(.inline)
    }
}

/// How many inferences took how long.
private struct LatencyChart: View {
    let bars: [LatencyBar]

    var body: some View {
        Chart(bars) { bar in
            RectangleMark(
                xStart: .value("From", bar.low), xEnd: .value("To", bar.high), yStart: .value("None", 0),
                yEnd: .value("Inferences", bar.count))
        }
        .chartXAxisLabel("ms")
        .chartYAxisLabel("inferences")
        .frame(minHeight: 200)
        .accessibilityLabel("Histogram of latency")
    }
}

/// The median of each window of a sustained run.
private struct WindowChart: View {
    let windows: [DeviceReport.Window]

    var body: some View {
        Chart(windows, id: \.startS) { window in
            LineMark(x: .value("Seconds", window.startS), y: .value("Median", window.p50))
            PointMark(x: .value("Seconds", window.startS), y: .value("Median", window.p50))
                .foregroundStyle(by: .value("Phone", window.thermal.map(Wording.thermal) ?? "not told"))
                .symbol(by: .value("Phone", window.thermal.map(Wording.thermal) ?? "not told"))
        }
        .chartXAxisLabel("s")
        .chartYAxisLabel("ms")
        .frame(minHeight: 200)
        .accessibilityLabel("Median latency over time")
    }
}

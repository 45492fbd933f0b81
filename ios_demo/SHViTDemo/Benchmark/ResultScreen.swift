import Charts
import SHViTDemoCore
import SHViTKit
import SwiftUI

/// A result: percentiles, the distribution of latencies, and the sustained run over time.
struct ResultScreen: View {
    let result: DeviceReport.Result

    var body: some View {
        List {
            Section("Latency") {
                LabeledContent("Median", value: Wording.milliseconds(result.latency.p50))
                LabeledContent("p90", value: Wording.millisecondsOrDash(result.latency.p90))
                LabeledContent("p95", value: Wording.millisecondsOrDash(result.latency.p95))
                LabeledContent("p99", value: Wording.millisecondsOrDash(result.latency.p99))
                LabeledContent("Inferences", value: "\(result.latency.samples)")
            }
            if let stages = result.stages {
                Section("Whole frames, median") {
                    LabeledContent("Preprocessing", value: Wording.milliseconds(stages.preprocessing.p50))
                    LabeledContent("Tensor", value: Wording.milliseconds(stages.tensor.p50))
                    LabeledContent("Inference", value: Wording.milliseconds(stages.inference.p50))
                    LabeledContent("Decoding", value: Wording.milliseconds(stages.decoding.p50))
                    LabeledContent("Total", value: Wording.milliseconds(stages.total.p50))
                }
            }
            Section("Distribution") { LatencyChart(bars: LatencyBar.bars(of: result)) }
            if result.windows.count > 1 {
                Section("Sustained run, median per 10 s") { WindowChart(windows: result.windows) }
            }
            if let placement = result.placement, !placement.isEmpty {
                Section("Operators per processor") {
                    ForEach(placement.sorted { $0.key < $1.key }, id: \.key) { processor, count in
                        LabeledContent(processor, value: "\(count)")
                    }
                }
            }
            Section("Startup") {
                if let compiling = result.compileMs {
                    LabeledContent("Compilation (first launch)", value: Wording.milliseconds(compiling))
                }
                LabeledContent("Load", value: Wording.milliseconds(result.loadMs))
                LabeledContent("First inference", value: Wording.milliseconds(result.firstMs))
                if let peak = result.peakMemoryBytes {
                    LabeledContent("Peak memory", value: Wording.megabytes(peak))
                }
            }
        }
        .navigationTitle(result.name)
        .navigationBarTitleDisplayMode(.inline)
    }
}

/// A histogram of the latencies.
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
        .accessibilityLabel("Latency histogram")
    }
}

/// A chart with the median of each window of a sustained run.
private struct WindowChart: View {
    let windows: [DeviceReport.Window]

    var body: some View {
        Chart(windows, id: \.startS) { window in
            LineMark(x: .value("Seconds", window.startS), y: .value("Median", window.p50))
            PointMark(x: .value("Seconds", window.startS), y: .value("Median", window.p50))
                .foregroundStyle(by: .value("Thermal state", window.thermal.map(Wording.thermal) ?? "unknown"))
                .symbol(by: .value("Thermal state", window.thermal.map(Wording.thermal) ?? "unknown"))
        }
        .chartXAxisLabel("s")
        .chartYAxisLabel("ms")
        .frame(minHeight: 200)
        .accessibilityLabel("Median latency over time during the sustained run")
    }
}

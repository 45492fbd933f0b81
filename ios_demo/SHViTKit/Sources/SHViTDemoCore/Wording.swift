import Foundation
import SHViTKit

/// Text for people: numbers with units, processors, and errors.
public enum Wording {
    /// The error of a benchmark whose app went to the background, where it gets neither the GPU nor much time.
    static let leftScreen = SHViTError.cancelled(
        "The benchmark stopped because the app left the screen.", why: "Latencies in the background mean nothing.",
        next: "Start it again and keep the app in the foreground.")

    /// Formats milliseconds with three significant digits, such as "3.21 ms".
    public static func milliseconds(_ value: Double, locale: Locale = .autoupdatingCurrent) -> String {
        "\(value.formatted(.number.precision(.significantDigits(3)).locale(locale))) ms"
    }

    /// Formats a share from 0 to 1, such as "87.4%".
    public static func percent(_ share: Double, locale: Locale = .autoupdatingCurrent) -> String {
        share.formatted(.percent.precision(.fractionLength(0...1)).locale(locale))
    }

    /// Formats bytes in millions, such as "6.4 MB".
    public static func megabytes(_ bytes: Int, locale: Locale = .autoupdatingCurrent) -> String {
        let millions = Double(bytes) / 1_000_000
        return "\(millions.formatted(.number.precision(.fractionLength(1)).locale(locale))) MB"
    }

    /// Formats decibels, such as "41 dB"; "no noise" for equal signals.
    public static func decibels(_ value: Double, locale: Locale = .autoupdatingCurrent) -> String {
        guard value.isFinite else { return "no noise" }
        return "\(value.formatted(.number.precision(.fractionLength(0)).locale(locale))) dB"
    }

    /// Returns the name of a target's runtime.
    public static func engine(_ target: Manifest.Target) -> String {
        switch target {
        case .coreml: "Core ML"
        case .executorch: "ExecuTorch"
        case .onnx: "ONNX Runtime"
        case .litert: "LiteRT"
        case .coreai: "Core AI"
        }
    }

    /// Returns the name of a runtime for a report, such as "ExecuTorch 1.4.1 (XNNPACK)".
    ///
    /// - Parameter versions: The versions of the app's engines. A runtime that belongs to the system has none of its
    ///   own.
    static func engine(_ manifest: Manifest, versions: [String: String]) -> String {
        let name = [engine(manifest.target), versions[manifest.target.rawValue]].compactMap(\.self)
        let names = ["XnnpackBackend": "XNNPACK", "CoreMLBackend": "Core ML"]
        let backend = manifest.delegation.map { names[$0.backend] ?? $0.backend }
        return (name + (backend.map { ["(\($0))"] } ?? [])).joined(separator: " ")
    }

    /// Returns what a model of a task does.
    public static func task(_ task: Manifest.Task) -> String {
        switch task {
        case .classify: "classification"
        case .features: "feature maps"
        case .detect: "object detection"
        }
    }

    /// Returns the name of a set of compute units.
    public static func compute(_ compute: DeviceReport.Compute) -> String {
        switch compute {
        case .cpu: "CPU"
        case .cpuAndGPU: "CPU and GPU"
        case .cpuAndNeuralEngine: "CPU and Neural Engine"
        case .all: "all processors"
        }
    }

    /// Returns the name of a thermal state.
    public static func thermal(_ state: DeviceReport.ThermalState) -> String {
        switch state {
        case .nominal: "nominal"
        case .fair: "fair"
        case .serious: "serious"
        case .critical: "critical"
        }
    }

    /// Returns the latencies of an analysis.
    ///
    /// - Parameter inferenceMs: The model's latency to show, such as a median.
    public static func latency(
        of analysis: Analysis, inferenceMs: Double, locale: Locale = .autoupdatingCurrent
    ) -> String {
        let stages = [
            "Model \(milliseconds(inferenceMs, locale: locale))",
            "preprocessing \(milliseconds(analysis.preprocessingMs, locale: locale))",
        ]
        guard case .objects = analysis.finding else { return stages.joined(separator: ", ") }
        return (stages + ["boxes \(milliseconds(analysis.decodingMs, locale: locale))"]).joined(separator: ", ")
    }

    /// Returns milliseconds, or a dash if there are none.
    public static func millisecondsOrDash(_ value: Double?, locale: Locale = .autoupdatingCurrent) -> String {
        value.map { milliseconds($0, locale: locale) } ?? "–"
    }

    /// Returns a result as one line, which screen readers read too.
    public static func summary(of result: DeviceReport.Result, locale: Locale = .autoupdatingCurrent) -> String {
        let latency = result.latency
        let tails = [("p90", latency.p90), ("p99", latency.p99)].compactMap { name, value in
            value.map { "\(name) \(milliseconds($0, locale: locale)), " }
        }
        return "\(result.name) on \(compute(result.compute)): "
            + "median \(milliseconds(latency.p50, locale: locale)), "
            + tails.joined()
            + "\(latency.samples) inferences\(golden(result.golden))"
    }

    /// Returns an error's text: all parts of an `SHViTError`, or the system's own description.
    public static func reason(_ error: any Error) -> String {
        (error as? SHViTError)?.description ?? error.localizedDescription
    }

    private static func golden(_ check: DeviceReport.GoldenCheck?) -> String {
        guard let check else { return "" }
        return check.preprocessingPassed && check.inferencePassed ? ", golden check passed" : ", golden check failed"
    }
}

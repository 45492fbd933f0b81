import Foundation
import SHViTKit

/// What a person reads: units, processors, and reasons in words.
public enum Wording {
    /// As "3.21 ms", in three digits.
    public static func milliseconds(_ value: Double, locale: Locale = .autoupdatingCurrent) -> String {
        "\(value.formatted(.number.precision(.significantDigits(3)).locale(locale))) ms"
    }

    /// As "87.4%".
    public static func percent(_ share: Double, locale: Locale = .autoupdatingCurrent) -> String {
        share.formatted(.percent.precision(.fractionLength(0...1)).locale(locale))
    }

    /// As "6.4 MB", of a million bytes each.
    public static func megabytes(_ bytes: Int, locale: Locale = .autoupdatingCurrent) -> String {
        let millions = Double(bytes) / 1_000_000
        return "\(millions.formatted(.number.precision(.fractionLength(1)).locale(locale))) MB"
    }

    /// As "41 dB"; equal signals have no noise at all.
    public static func decibels(_ value: Double, locale: Locale = .autoupdatingCurrent) -> String {
        guard value.isFinite else { return "no noise" }
        return "\(value.formatted(.number.precision(.fractionLength(0)).locale(locale))) dB"
    }

    /// The runtime of artifacts of a kind.
    public static func engine(_ target: Manifest.Target) -> String {
        switch target {
        case .coreml: "Core ML"
        case .executorch: "ExecuTorch"
        case .onnx: "ONNX Runtime"
        }
    }

    /// What runs an artifact, as a report has it: "ExecuTorch 1.4.1 (XNNPACK)".
    ///
    /// - Parameter versions: of the app's engines; a runtime that comes with the system has none of its own.
    static func engine(_ manifest: Manifest, versions: [String: String]) -> String {
        let name = [engine(manifest.target), versions[manifest.target.rawValue]].compactMap(\.self)
        let backend = manifest.delegation.map { $0.backend == "XnnpackBackend" ? "XNNPACK" : $0.backend }
        return (name + (backend.map { ["(\($0))"] } ?? [])).joined(separator: " ")
    }

    /// A choice of processors.
    public static func compute(_ compute: DeviceReport.Compute) -> String {
        switch compute {
        case .cpu: "CPU"
        case .cpuAndGPU: "CPU and GPU"
        case .cpuAndNeuralEngine: "CPU and Neural Engine"
        case .all: "all processors"
        }
    }

    /// How hot a phone is.
    public static func thermal(_ state: DeviceReport.ThermalState) -> String {
        switch state {
        case .nominal: "cool"
        case .fair: "warm"
        case .serious: "hot"
        case .critical: "too hot"
        }
    }

    /// One result in a line, also for those who listen.
    public static func summary(of result: DeviceReport.Result, locale: Locale = .autoupdatingCurrent) -> String {
        let latency = result.latency
        return "\(result.name) on \(compute(result.compute)): "
            + "median \(milliseconds(latency.p50, locale: locale)), "
            + "99 of 100 within \(milliseconds(latency.p99, locale: locale)), "
            + "\(latency.samples) inferences\(golden(result.golden))"
    }

    /// Why something failed: ours in three parts, the system's in its own words.
    public static func reason(_ error: any Error) -> String {
        (error as? SHViTError)?.description ?? error.localizedDescription
    }

    private static func golden(_ check: DeviceReport.GoldenCheck?) -> String {
        guard let check else { return "" }
        return check.preprocessingPassed && check.inferencePassed ? ", goldens right" : ", goldens off"
    }
}

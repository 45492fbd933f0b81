/// Returns a percentile by linear interpolation between the neighboring samples: NumPy's default, R's type 7.
///
/// Python and Kotlin compute the same. `schemas/vectors/percentiles.json` contains test cases for all three.
///
/// - Parameters:
///   - share: The percentile, from 0 to 100.
///   - samples: The samples, in any order.
/// - Returns: Nil if there are no samples, or `share` is out of range.
public func percentile(_ share: Double, of samples: [Double]) -> Double? {
    guard !samples.isEmpty, (0...100).contains(share) else { return nil }
    let ordered = samples.sorted()
    let place = share / 100 * Double(ordered.count - 1)
    let below = min(Int(place), ordered.count - 1)
    let above = min(below + 1, ordered.count - 1)
    return ordered[below] + (place - Double(below)) * (ordered[above] - ordered[below])
}

/// A summary of latencies, in milliseconds.
public struct Latency: Codable, Equatable, Sendable, Checked {
    /// The number of samples.
    public var samples: Int
    /// The median.
    public var p50: Double
    /// The 90th percentile; nil if the samples do not support it. Reports of version 1.0 state all percentiles.
    public var p90: Double?
    /// The 95th percentile; nil if the samples do not support it.
    public var p95: Double?
    /// The 99th percentile; nil if the samples do not support it.
    public var p99: Double?
    /// The minimum.
    public var least: Double
    /// The mean; nil in reports of version 1.0.
    public var mean: Double?

    /// Summarizes samples; nil if there are none.
    public init?(of values: [Double]) {
        guard let least = values.min(), let p50 = percentile(50, of: values) else { return nil }
        func supported(_ share: Int) -> Double? {
            values.count < Self.neededSamples(for: share) ? nil : percentile(Double(share), of: values)
        }
        (samples, self.p50, self.least) = (values.count, p50, least)
        (p90, p95, p99) = (supported(90), supported(95), supported(99))
        mean = values.reduce(0, +) / Double(values.count)
    }

    /// Returns how many samples a percentile above the median needs, so that ten of them lie above it.
    public static func neededSamples(for share: Int) -> Int {
        10 * 100 / (100 - share)
    }

    /// The percentiles above the median, with their shares.
    private var tails: [(share: Int, value: Double?)] { [(90, p90), (95, p95), (99, p99)] }

    func check() throws(Fault) {
        try check(samples, "samples", least: 1)
        try check(p50, "p50")
        try check(p90, "p90")
        try check(p95, "p95")
        try check(p99, "p99")
        try check(least, "least")
        try check(mean, "mean")
    }

    /// Throws if a summary lacks a percentile, as every one of version 1.0 has it.
    func checkOfOldReport() throws(Fault) {
        for (share, value) in tails where value == nil { throw Fault("p\(share)", "is missing") }
    }

    /// Throws if a summary cannot be one of version 1.1 or newer: see the Python class of the same document.
    func checkOfTimedReport() throws(Fault) {
        for (share, value) in tails {
            let needed = Self.neededSamples(for: share)
            if (value != nil) != (samples >= needed) {
                throw Fault("p\(share)", "is stated from \(needed) samples on, and there are \(samples)")
            }
        }
        guard let mean else { throw Fault("mean", "is missing") }
        let named: [(name: String, value: Double?)] =
            [("least", least), ("p50", p50)] + tails.map { (name: "p\($0.share)", value: $0.value) }
        let stated = named.filter { $0.value != nil }
        for (lower, upper) in zip(stated, stated.dropFirst()) {
            if let low = lower.value, let high = upper.value, Self.exceeds(low, high) {
                throw Fault(upper.name, "is \(high), less than \(lower.name) with \(low)")
            }
        }
        if Self.exceeds(least, mean) { throw Fault("mean", "is \(mean), below the least") }
    }

    /// Returns whether a value is above a limit by more than the last digits.
    static func exceeds(_ value: Double, _ limit: Double) -> Bool {
        value > limit * (1 + 1e-6) + 1e-6
    }
}

/// The stages of whole frames, from a picture in memory to the most likely labels, or to boxes.
public struct Stages: Codable, Equatable, Sendable, Checked {
    /// From the picture to the values of the tensor, or to the pixels for a model that takes a picture.
    public var preprocessing: Latency
    /// From these to the runtime's own input.
    public var tensor: Latency
    /// The call of the runtime.
    public var inference: Latency
    /// From the runtime's outputs to the labels with their probabilities, or to boxes.
    public var decoding: Latency
    /// All of it.
    public var total: Latency

    /// Summarizes frames, each with its stages and its total; nil if there are none.
    init?(of frames: [(times: StageTimes, total: Duration)]) {
        func latency(_ stage: (StageTimes) -> Duration) -> Latency? {
            Latency(of: frames.map { stage($0.times).milliseconds })
        }
        guard let preprocessing = latency(\.preprocessing), let tensor = latency(\.tensor),
            let inference = latency(\.inference), let decoding = latency(\.decoding),
            let total = Latency(of: frames.map(\.total.milliseconds))
        else { return nil }
        (self.preprocessing, self.tensor, self.inference) = (preprocessing, tensor, inference)
        (self.decoding, self.total) = (decoding, total)
    }

    private var parts: [(name: String, latency: Latency)] {
        [("preprocessing", preprocessing), ("tensor", tensor), ("inference", inference), ("decoding", decoding)]
    }

    func check() throws(Fault) {
        for (name, latency) in parts + [("total", total)] {
            try check(latency, name)
            do { try latency.checkOfTimedReport() } catch { throw error.within(name) }
            if latency.samples != total.samples {
                throw Fault("\(name).samples", "is \(latency.samples), and there are \(total.samples) frames")
            }
        }
        // Of minima and means, the sum is a bound; of percentiles, each stage.
        try check("least", \.least, bound: { $0.reduce(0, +) })
        try check("mean", \.mean, bound: { $0.reduce(0, +) })
        try check("p50", \.p50, bound: { $0.max() ?? 0 })
        try check("p90", \.p90, bound: { $0.max() ?? 0 })
        try check("p95", \.p95, bound: { $0.max() ?? 0 })
        try check("p99", \.p99, bound: { $0.max() ?? 0 })
    }

    private func check(
        _ name: String, _ value: (Latency) -> Double?, bound: ([Double]) -> Double
    ) throws(Fault) {
        guard let whole = value(total) else { return }
        let least = bound(parts.compactMap { value($0.latency) })
        if Latency.exceeds(least, whole) {
            throw Fault("total.\(name)", "is \(whole), less than its stages with \(least)")
        }
    }
}

/// The speed relative to the first contestant, with a 95% confidence interval of the median ratio.
public struct Ratio: Codable, Equatable, Sendable {
    /// The ratio; above 1 is faster.
    public var value: Double
    /// The interval's lower end; 0 with too few rounds.
    public var low: Double
    /// The interval's upper end; infinite with too few rounds.
    public var high: Double
}

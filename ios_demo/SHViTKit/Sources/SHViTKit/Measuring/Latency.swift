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

/// The percentiles of a list of latencies, in milliseconds.
public struct Latency: Codable, Equatable, Sendable, Checked {
    /// The number of samples.
    public var samples: Int
    /// The median.
    public var p50: Double
    /// The 90th percentile.
    public var p90: Double
    /// The 95th percentile.
    public var p95: Double
    /// The 99th percentile.
    public var p99: Double
    /// The minimum.
    public var least: Double

    /// Summarizes samples; nil if there are none.
    public init?(of values: [Double]) {
        guard let least = values.min(), let p50 = percentile(50, of: values), let p90 = percentile(90, of: values),
            let p95 = percentile(95, of: values), let p99 = percentile(99, of: values)
        else { return nil }
        (samples, self.p50, self.p90, self.p95, self.p99, self.least) = (values.count, p50, p90, p95, p99, least)
    }

    func check() throws(Fault) {
        try check(samples, "samples", least: 1)
        try check(p50, "p50")
        try check(p90, "p90")
        try check(p95, "p95")
        try check(p99, "p99")
        try check(least, "least")
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

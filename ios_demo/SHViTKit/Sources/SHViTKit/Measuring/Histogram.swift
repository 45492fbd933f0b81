/// A histogram with bins of equal width from the minimum to the 99th percentile. The last bin also counts the tail.
public struct Histogram: Equatable, Sendable {
    /// The first bin's lower edge.
    public let low: Double
    /// The width of each bin.
    public let width: Double
    /// The number of samples in each bin.
    public let counts: [Int]

    /// Counts samples; nil if there are no samples or no bins.
    public init?(of samples: [Double], bins: Int) {
        guard bins > 0, let least = samples.min(), let most = percentile(99, of: samples) else { return nil }
        var counts = [Int](repeating: 0, count: bins)
        let width = (most - least) / Double(bins)
        for sample in samples {
            let bin = width > 0 ? (sample - least) / width : 0
            counts[min(Int(min(bin, Double(bins))), bins - 1)] += 1
        }
        (low, self.width, self.counts) = (least, width, counts)
    }
}

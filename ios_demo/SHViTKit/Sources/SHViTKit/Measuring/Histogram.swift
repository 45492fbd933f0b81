/// Samples counted in bins of one width, from the least to the 99th percentile; the last bin holds the tail as well.
public struct Histogram: Equatable, Sendable {
    /// Where the first bin begins.
    public let low: Double
    /// Of each bin.
    public let width: Double
    /// Of each bin.
    public let counts: [Int]

    /// The histogram of samples; nil where there are none, or no bins are asked for.
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

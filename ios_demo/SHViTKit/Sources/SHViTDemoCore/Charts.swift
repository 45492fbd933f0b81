import SHViTKit

/// A bar of a latency histogram, in milliseconds.
public struct LatencyBar: Equatable, Identifiable, Sendable {
    /// The bar's index.
    public let id: Int
    /// The bar's lower edge.
    public let low: Double
    /// The bar's upper edge. The last bar also counts everything above it.
    public let high: Double
    /// The number of inferences in the bar.
    public let count: Int
}

extension LatencyBar {
    /// Returns the histogram of all measured inferences.
    public static func bars(of result: DeviceReport.Result, bins: Int = 24) -> [LatencyBar] {
        guard let histogram = Histogram(of: result.samplesMs.flatMap(\.self), bins: bins) else { return [] }
        // Equal samples give bins of zero width, which are invisible.
        guard histogram.width > 0 else {
            let half = max(histogram.low * 0.01, 0.001)
            return [
                LatencyBar(
                    id: 0, low: histogram.low - half, high: histogram.low + half, count: histogram.counts.reduce(0, +))
            ]
        }
        return histogram.counts.enumerated().map { index, count in
            let low = histogram.low + Double(index) * histogram.width
            return LatencyBar(id: index, low: low, high: low + histogram.width, count: count)
        }
    }
}

/// The running median of the last latencies, which is steadier than single values.
public struct RecentLatency: Equatable, Sendable {
    private let kept: Int
    private var samples: [Double] = []

    /// - Parameter kept: Execution many latencies the median covers; at least 1.
    public init(kept: Int = 30) {
        self.kept = max(kept, 1)
    }

    /// Adds a latency, in milliseconds.
    public mutating func add(_ sample: Double) {
        samples.append(sample)
        samples.removeFirst(max(samples.count - kept, 0))
    }

    /// The median in milliseconds; nil before the first latency.
    public var median: Double? { percentile(50, of: samples) }
}

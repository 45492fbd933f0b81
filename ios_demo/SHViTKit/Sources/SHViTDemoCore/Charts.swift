import SHViTKit

/// A bar of a latency histogram, in milliseconds.
public struct LatencyBar: Equatable, Identifiable, Sendable {
    /// Its place among the bars.
    public let id: Int
    /// Where it begins.
    public let low: Double
    /// Where it ends; the last one holds the tail as well.
    public let high: Double
    /// Inferences in it.
    public let count: Int
}

extension LatencyBar {
    /// The bars of all inferences that count.
    public static func bars(of result: DeviceReport.Result, bins: Int = 24) -> [LatencyBar] {
        guard let histogram = Histogram(of: result.samplesMs.flatMap(\.self), bins: bins) else { return [] }
        // Samples that are all alike have bins of no width, which nobody sees.
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

/// The median of the last few latencies, for a number that changes calmly.
public struct RecentLatency: Equatable, Sendable {
    private let kept: Int
    private var samples: [Double] = []

    /// - Parameter kept: how many count, at least 1.
    public init(kept: Int = 30) {
        self.kept = max(kept, 1)
    }

    /// Notes one, in milliseconds.
    public mutating func add(_ sample: Double) {
        samples.append(sample)
        samples.removeFirst(max(samples.count - kept, 0))
    }

    /// In milliseconds; nil before the first.
    public var median: Double? { percentile(50, of: samples) }
}

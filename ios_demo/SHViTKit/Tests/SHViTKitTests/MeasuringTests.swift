import Foundation
import Testing

@testable import SHViTKit

/// Tests against `schemas/vectors/percentiles.json`, computed by NumPy.
struct MeasuringTests {
    struct Vectors: Decodable {
        let cases: [Case]
    }

    struct Case: Decodable, Sendable, CustomTestStringConvertible {
        struct Percentile: Decodable {
            let share: Double
            let expected: Double
        }

        let name: String
        let samples: [Double]
        let percentiles: [Percentile]

        var testDescription: String { name }
    }

    static func cases() throws -> [Case] {
        let vectors: Vectors = try Repository.json(Repository.vectors.appending(path: "percentiles.json"))
        return vectors.cases
    }

    @Test("Percentiles equal NumPy's", arguments: try cases())
    func percentiles(of example: Case) throws {
        for point in example.percentiles {
            let ours = try #require(percentile(point.share, of: example.samples))
            #expect(abs(ours - point.expected) <= 1e-9 * abs(point.expected))
        }
        let latency = try #require(Latency(of: example.samples))
        #expect(latency.p50 == percentile(50, of: example.samples))
        #expect(latency.p99 == (example.samples.count < 1000 ? nil : percentile(99, of: example.samples)))
        #expect(latency.least == example.samples.min())
        #expect(latency.samples == example.samples.count)
    }

    @Test("A percentile is stated if at least ten samples are above it", arguments: [(90, 100), (95, 200), (99, 1000)])
    func supported(share: Int, needed: Int) throws {
        #expect(Latency.neededSamples(for: share) == needed)
        let samples = (1...needed).map(Double.init)
        func tail(_ samples: [Double]) throws -> Double? {
            let latency = try #require(Latency(of: samples))
            return [90: latency.p90, 95: latency.p95, 99: latency.p99][share] ?? nil
        }
        let enough = try #require(try tail(samples))
        #expect(samples.count { $0 > enough } == 10)
        #expect(try tail(Array(samples.dropFirst())) == nil)
    }

    @Test("No samples or a share out of range give no percentile")
    func noPercentile() {
        #expect(percentile(50, of: []) == nil)
        #expect(percentile(101, of: [1]) == nil)
        #expect(percentile(-1, of: [1]) == nil)
        #expect(Latency(of: []) == nil)
    }

    @Test("A histogram counts every sample, the tail in its last bin")
    func histogram() throws {
        let samples: [Double] = (1...99).map { Double($0) } + [10_000]
        let histogram = try #require(Histogram(of: samples, bins: 7))
        #expect(histogram.counts.reduce(0, +) == 100)
        #expect(histogram.low == 1)
        let end = try #require(percentile(99, of: samples))
        #expect(abs(histogram.low + 7 * histogram.width - end) < 1e-9)
        // The 99th percentile is 198.01, and a bin 28.14 wide.
        #expect(histogram.counts == [29, 28, 28, 14, 0, 0, 1])
        #expect(Histogram(of: [2, 2], bins: 3)?.counts == [2, 0, 0])
        #expect(Histogram(of: [], bins: 3) == nil)
        #expect(Histogram(of: [1], bins: 0) == nil)
    }

    @Test("Predictions are sorted by softmax, which large logits do not overflow")
    func ranking() {
        #expect(softmax([]) == [])
        let shares = softmax([1000, 1000 + Float(log(3.0))])
        #expect(abs(shares[1] - 0.75) < 1e-4)
        let ranked = predictions(2, of: [0, 5, 5, 1], labels: ["a", "b"])
        #expect(ranked.map(\.label) == ["b", "2"])
        #expect(ranked.map(\.id) == [1, 2])
        #expect(predictions(9, of: [1, 2], labels: []).map(\.id) == [1, 0])
        #expect(predictions(-1, of: [1, 2], labels: []).isEmpty)
        #expect(largestIndex([1, 3, 3]) == 1)
        #expect(largestIndex([Double]()) == nil)
    }
}

import Foundation
import SHViTDemoCore
import Testing

@testable import SHViTKit

struct WordingTests {
    static let english = Locale(identifier: "en_GB")

    static func result(_ samples: [Double]) throws -> DeviceReport.Result {
        DeviceReport.Result(
            name: "a.pte", engine: "ExecuTorch", precision: "int8", loadMs: 1, firstMs: 1,
            latency: try #require(Latency(of: samples)), samplesMs: [samples])
    }

    @Test("Numbers have three digits and a unit, in the person's locale")
    func numbers() {
        #expect(Wording.milliseconds(3.2149, locale: Self.english) == "3.21 ms")
        #expect(Wording.milliseconds(0.04567, locale: Self.english) == "0.0457 ms")
        #expect(Wording.milliseconds(3.2149, locale: Locale(identifier: "de_DE")) == "3,21 ms")
        #expect(Wording.percent(0.874, locale: Self.english) == "87.4%")
        #expect(Wording.decibels(41.4, locale: Self.english) == "41 dB")
        #expect(Wording.decibels(.infinity) == "no noise")
        #expect(Wording.megabytes(6_380_000, locale: Self.english) == "6.4 MB")
    }

    @Test("Compute units, thermal states and runtimes have distinct names")
    func names() {
        #expect(Set(DeviceReport.Compute.allCases.map(Wording.compute)).count == 4)
        #expect(Set(DeviceReport.ThermalState.allCases.map(Wording.thermal)).count == 4)
        #expect(Set(Manifest.Task.allCases.map(Wording.task)).count == 3)
        #expect(Set(Manifest.Target.allCases.map(Wording.engine)).count == Manifest.Target.allCases.count)
    }

    @Test("A result is one line, with its golden check if there is one")
    func summary() throws {
        var result = try Self.result([1, 2, 3])
        #expect(
            Wording.summary(of: result, locale: Self.english)
                == "a.pte on CPU: median 2.00 ms, 3 inferences")
        #expect(
            Wording.summary(of: try Self.result((1...1001).map(Double.init)), locale: Self.english)
                == "a.pte on CPU: median 501 ms, p90 901 ms, p99 991 ms, 1001 inferences")
        #expect(Wording.millisecondsOrDash(nil, locale: Self.english) == "–")
        #expect(Wording.millisecondsOrDash(2, locale: Self.english) == "2.00 ms")
        result.golden = .init(
            images: 2, preprocessingPassed: true, pixelsDifference: 0, inferencePassed: true, largestDifference: 0,
            tolerance: 1, sqnrDb: 90, sameClass: 2)
        #expect(Wording.summary(of: result, locale: Self.english).hasSuffix(", golden check passed"))
        result.golden?.preprocessingPassed = false
        #expect(Wording.summary(of: result, locale: Self.english).hasSuffix(", golden check failed"))
    }

    @Test("The latencies of a detector have that of its boxes")
    func latencies() {
        func text(_ finding: Finding) -> String {
            let analysis = Analysis(
                finding: finding, height: 1, width: 1, preprocessingMs: 2, inferenceMs: 9, decodingMs: 3)
            return Wording.latency(of: analysis, inferenceMs: 8, locale: Self.english)
        }
        #expect(text(.classes([])) == "Model 8.00 ms, preprocessing 2.00 ms")
        #expect(text(.objects([])) == "Model 8.00 ms, preprocessing 2.00 ms, boxes 3.00 ms")
    }

    @Test("An SHViTError shows all three parts, another error its own text")
    func reasons() {
        #expect(Wording.reason(SHViTError.runtimeFailure("What.", why: "Why.", next: "Next.")) == "What.\nWhy.\nNext.")
        #expect(!Wording.reason(CocoaError(.fileNoSuchFile)).isEmpty)
    }

    @Test("A histogram's bars are adjacent and count every inference")
    func bars() throws {
        let samples = (0..<50).map { Double($0) } + [1000]
        let bars = LatencyBar.bars(of: try Self.result(samples), bins: 10)
        #expect(bars.count == 10)
        #expect(bars.map(\.count).reduce(0, +) == samples.count)
        for (one, next) in zip(bars, bars.dropFirst()) { #expect(abs(one.high - next.low) < 1e-9) }
        let alike = LatencyBar.bars(of: try Self.result([2, 2, 2]))
        #expect(alike.map(\.count) == [3])
        #expect(alike.allSatisfy { $0.low < 2 && 2 < $0.high })
        #expect(LatencyBar.bars(of: try Self.result(samples), bins: 0).isEmpty)
    }

    @Test("A toggle inserts and removes an element of a set")
    func membership() {
        var threads: Set = [1, 2]
        threads[holds: 2] = false
        threads[holds: 4] = true
        #expect(threads == [1, 4])
        #expect(threads[holds: 4])
        #expect(!threads[holds: 2])
    }

    @Test("The displayed latency is the median of the last few")
    func recent() {
        var recent = RecentLatency(kept: 3)
        #expect(recent.median == nil)
        for sample in [100, 1, 2, 3] as [Double] { recent.add(sample) }
        #expect(recent.median == 2)
    }
}

import Foundation

@testable import SHViTKit

/// A classifier whose whole answer counts as inference.
protocol PlainClassifier: Runner {
    func logits(for pixels: RGBImage) async throws -> [Float]
}

extension PlainClassifier {
    func timedOutputs(for pixels: RGBImage, stopwatch: Stopwatch) async throws -> TimedOutputs {
        let begun = stopwatch.now()
        let logits = try await logits(for: pixels)
        return TimedOutputs(outputs: ["logits": logits], times: StageTimes(inference: stopwatch.now() - begun))
    }
}

/// A classifier with given logits for known pictures, and zeros for others.
struct Oracle: PlainClassifier {
    let answers: [(pixels: RGBImage, logits: [Float])]
    let classes: Int

    func logits(for pixels: RGBImage) async throws -> [Float] {
        answers.first { Self.areEqual($0.pixels.bytes, pixels.bytes) }?.logits ?? [Float](repeating: 0, count: classes)
    }

    /// Without optimization, `==` of long lists takes milliseconds.
    private static func areEqual(_ one: [UInt8], _ other: [UInt8]) -> Bool {
        one.count == other.count && memcmp(one, other, one.count) == 0
    }
}

extension Oracle {
    /// Creates a classifier that returns the goldens' logits, changed by `change`.
    init(_ set: GoldenSet, change: (Float) -> Float = { $0 }) throws {
        let answers = try set.goldens.images.map { image in
            (pixels: try set.pixels(of: image), logits: image.logits.map { change(Float($0)) })
        }
        self.init(answers: answers, classes: set.goldens.images[0].logits.count)
    }
}

extension GoldenSet {
    /// Returns a decoder that recognizes the goldens' pictures by their bytes. They have the model's size.
    func knownPictures() throws -> GoldenChecker.Decoder {
        var pictures: [Data: RGBImage] = [:]
        for image in goldens.images { pictures[try picture(of: image)] = try pixels(of: image) }
        let known = pictures
        return { data in
            guard let picture = known[data] else { throw SHViTError.undecodablePicture("That picture is not known.") }
            return picture
        }
    }
}

/// A detector, or a model of feature maps, with given values at the goldens' positions and zeros elsewhere.
struct MapsOracle: Runner, RunnerSource {
    let maps: [Manifest.OutputMap]
    let samples: [Goldens.OutputSamples]
    let answers: [(pixels: RGBImage, values: [Float])]

    /// Creates a model that returns the goldens' values, changed by `change`.
    init(
        _ set: GoldenSet, maps: [Manifest.OutputMap], change: (String, Float) -> Float = { $1 }
    ) throws {
        self.maps = maps
        let samples = set.goldens.sampledOutputs ?? []
        let names = samples.flatMap { one in one.positions.map { _ in one.name } }
        self.samples = samples
        answers = try set.goldens.images.map { image in
            let values = zip(names, image.sampledValues ?? []).map { change($0, Float($1)) }
            return (pixels: try set.pixels(of: image), values: values)
        }
    }

    func load() async throws -> any Runner { self }

    func timedOutputs(for pixels: RGBImage, stopwatch: Stopwatch) async throws -> TimedOutputs {
        var values = (answers.first { $0.pixels == pixels }?.values ?? [])[...]
        var outputs: [String: [Float]] = [:]
        for map in maps { outputs[map.name] = [Float](repeating: 0, count: map.shape.reduce(1, *)) }
        for sampled in samples where !values.isEmpty {
            for (position, value) in zip(sampled.positions, values)
            where position < outputs[sampled.name]?.count ?? 0 {
                outputs[sampled.name]?[position] = value
            }
            values = values.dropFirst(sampled.positions.count)
        }
        return TimedOutputs(outputs: outputs, times: StageTimes())
    }
}

/// A detector of the fixtures' contract that finds one dog, 32 pixels wide, at row 2 and column 1 of the stride 16.
struct OneObject: Runner, RunnerSource {
    let maps: [Manifest.OutputMap]

    func load() async throws -> any Runner { self }

    func timedOutputs(for pixels: RGBImage, stopwatch: Stopwatch) async throws -> TimedOutputs {
        var outputs: [String: [Float]] = [:]
        for map in maps {
            outputs[map.name] = [Float](
                repeating: map.name.hasPrefix("scores") ? -9 : 0, count: map.shape.reduce(1, *))
        }
        // The second of two classes; the center is at (24, 40), and each side is 16 pixels from it.
        outputs["scores16"]?[16 + 2 * 4 + 1] = 2
        return TimedOutputs(outputs: outputs, times: StageTimes())
    }
}

/// A model in pure Swift: each class weighs the means of a grid of cells. It takes real time.
struct GridClassifier: PlainClassifier, RunnerSource {
    let classes: Int
    let cells = 8

    func load() async throws -> any Runner { self }

    func logits(for pixels: RGBImage) async throws -> [Float] {
        var sums = [Float](repeating: 0, count: cells * cells)
        for row in 0..<pixels.height {
            for column in 0..<pixels.width {
                let cell = row * cells / pixels.height * cells + column * cells / pixels.width
                sums[cell] += Float(pixels.bytes[(row * pixels.width + column) * 3 + 1])
            }
        }
        return (0..<classes).map { label in
            sums.enumerated().reduce(0) { $0 + $1.element * sin(Float(label * 64 + $1.offset)) / 1000 }
        }
    }
}

/// A value behind a lock; the standard library's `Mutex` needs iOS 18.
final class Locked<Value>: @unchecked Sendable {
    private let lock = NSLock()
    private var value: Value

    init(_ value: Value) {
        self.value = value
    }

    func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        try lock.withLock { try body(&value) }
    }
}

/// A clock that advances only by hand.
final class StandingClock: Sendable {
    private let time = Locked(Duration.zero)

    var stopwatch: Stopwatch {
        Stopwatch { [self] in time.withLock { $0 } }
    }

    func add(_ duration: Duration) {
        time.withLock { $0 += duration }
    }
}

/// A classifier with known latencies: the n-th inference takes the n-th duration, later ones the last.
final class TimedClassifier: PlainClassifier, RunnerSource {
    let clock: StandingClock
    let durations: [Duration]
    let compiling: Duration?
    let classes: Int
    private let count = Locked(0)

    init(_ clock: StandingClock, durations: [Duration], compiling: Duration? = nil, classes: Int = 2) {
        self.clock = clock
        self.durations = durations
        self.compiling = compiling
        self.classes = classes
    }

    var inferences: Int { count.withLock { $0 } }

    func compile() async throws -> Bool {
        guard let compiling else { return false }
        clock.add(compiling)
        return true
    }

    func load() async throws -> any Runner {
        clock.add(.milliseconds(40))
        return self
    }

    func logits(for pixels: RGBImage) async throws -> [Float] {
        let index = count.withLock { count in
            defer { count += 1 }
            return count
        }
        clock.add(durations[min(index, durations.count - 1)])
        return (0..<classes).map(Float.init)
    }
}

/// A phone that gets hotter with each reading, and whose app grows by a megabyte each time.
final class WarmingPhone: DeviceProbe {
    private let readings = Locked(0)
    private let footprints = Locked(0)
    private let tellsMemory: Bool

    init(tellsMemory: Bool = true) {
        self.tellsMemory = tellsMemory
    }

    func reading() async -> DeviceReading {
        let count = readings.withLock { count in
            defer { count += 1 }
            return count
        }
        let states = DeviceReport.ThermalState.allCases
        return DeviceReading(
            thermal: states[min(count, states.count - 1)], lowPower: false, battery: 0.5, charging: true)
    }

    func footprint() -> Int? {
        guard tellsMemory else { return nil }
        return footprints.withLock { count in
            count += 1
            return count << 20
        }
    }
}

/// A phone whose readings are given, the last one from then on.
final class GivenPhone: DeviceProbe {
    private let readings: Locked<[DeviceReading]>

    init(_ readings: [DeviceReading]) {
        self.readings = Locked(readings)
    }

    func reading() async -> DeviceReading {
        readings.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] }
    }

    func footprint() -> Int? { nil }
}

/// A phone without any readings.
struct SilentPhone: DeviceProbe {
    func reading() async -> DeviceReading { DeviceReading() }
    func footprint() -> Int? { nil }
}

extension RGBImage {
    /// Returns a crop, which must lie within the picture.
    func cropped(top: Int, left: Int, height: Int, width: Int) -> RGBImage {
        let rows = (top..<top + height).map { row in
            bytes[(row * self.width + left) * 3..<(row * self.width + left + width) * 3]
        }
        return RGBImage(height, width, rows.flatMap { $0 })
    }
}

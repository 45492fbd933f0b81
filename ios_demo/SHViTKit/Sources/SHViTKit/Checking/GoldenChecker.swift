import Foundation

/// Checks a device against an artifact's goldens, in two parts.
///
/// Preprocessing: the device decodes and preprocesses each golden's picture, and its pixels are compared with the
/// stored ones.
/// Inference: the artifact runs on the stored pixels, and its logits, or values of its maps, are compared with the stored
/// ones.
public struct GoldenChecker: Sendable {
    /// Decodes an encoded image into an upright RGB picture.
    public typealias Decoder = @Sendable (Data) throws -> RGBImage
    /// Turns a picture into the pixels that the model sees.
    public typealias Preparation = @Sendable (RGBImage) throws -> RGBImage

    private let set: GoldenSet
    private let decoder: Decoder
    private let preparation: Preparation

    /// - Parameters:
    ///   - set: The goldens.
    ///   - decoder: The decoder that the app uses for photos.
    ///   - preparation: The app's preprocessing (default: this package's `Preprocessor`).
    /// - Throws: `SHViTError` if the goldens' preprocessing is invalid.
    public init(_ set: GoldenSet, decoder: @escaping Decoder, preparation: Preparation? = nil) throws(SHViTError) {
        let preprocessor = try Preprocessor(set.goldens.preprocessing)
        self.set = set
        self.decoder = decoder
        self.preparation = preparation ?? preprocessor.pixels(of:)
    }

    /// Checks preprocessing and inference.
    ///
    /// - Throws: `SHViTError` if a golden is damaged, or the outputs are invalid; `CancellationError`.
    public func check(_ runner: any Runner) async throws -> GoldenOutcome {
        let pixels = try set.goldens.images.map(set.pixels(of:))
        return GoldenOutcome(
            images: pixels.count,
            preprocessing: try preprocessing(against: pixels),
            inference: try await inference(of: runner, on: pixels))
    }

    private func preprocessing(against expected: [RGBImage]) throws -> GoldenOutcome.Preprocessing {
        let goldens = set.goldens
        let outcomes = try zip(goldens.images, expected).map { image, stored in
            try Task.checkCancellation()
            let picture = try decoder(set.picture(of: image))
            // Pixels of another size count as the largest possible difference.
            let difference = try preparation(picture).meanDifference(from: stored) ?? 255
            let tolerance = picture.reduction > 1 ? goldens.reducedPixelsTolerance : nil
            return GoldenOutcome.Preprocessing(
                difference: difference, tolerance: tolerance ?? goldens.pixelsTolerance)
        }
        // A failed picture is worse than one that passed, whatever their tolerances.
        let worst = outcomes.max { ($0.passed ? 0 : 1, $0.difference) < ($1.passed ? 0 : 1, $1.difference) }
        return worst ?? .init(difference: 0, tolerance: goldens.pixelsTolerance)
    }

    private func inference(of runner: any Runner, on pixels: [RGBImage]) async throws -> GoldenOutcome.Inference {
        var comparisons = set.goldens.parts.map { Comparison(tolerance: $0.tolerance) }
        var sameClass = 0
        for (image, stored) in zip(set.goldens.images, pixels) {
            try Task.checkCancellation()
            let answer = try values(in: try await runner.outputs(for: stored), of: image)
            var rest = image.expected[...]
            for (index, actual) in answer.enumerated() {
                comparisons[index].add(expected: rest.prefix(actual.count), actual: actual)
                rest = rest.dropFirst(actual.count)
            }
            sameClass += largestIndex(answer[0]) == largestIndex(image.logits) ? 1 : 0
        }
        // Of several outputs, the one that is furthest beyond its tolerance.
        let worst = comparisons.max { $0.excess < $1.excess } ?? Comparison(tolerance: set.goldens.tolerance)
        return .init(
            largestDifference: worst.largest, tolerance: worst.tolerance,
            sqnrDb: comparisons.map(\.sqnrDb).min() ?? .infinity,
            sameClass: set.goldens.sampledOutputs == nil ? sameClass : nil)
    }

    /// Returns what the goldens hold of the outputs for a picture: the logits, or values of each map.
    private func values(in outputs: [String: [Float]], of image: Goldens.Image) throws(SHViTError) -> [[Double]] {
        var answer: [[Double]] = []
        for part in set.goldens.parts {
            let found = part.name.map { outputs[$0] } ?? (outputs.count == 1 ? outputs.values.first : nil)
            let positions = part.positions ?? Array(image.logits.indices)
            let fits = part.positions == nil ? found?.count == positions.count : positions.last ?? 0 < found?.count ?? 0
            guard let found, fits else {
                let held = part.name.map { "values of \($0)" } ?? "\(positions.count) logits"
                throw SHViTError.artifactChanged(
                    "The artifact returns \(Self.text(outputs)), but the golden \(image.image) has \(held).",
                    why: "They belong to different models.", next: "Embed the model again: shvit-mobile embed ARTIFACT")
            }
            let values = positions.map { Double(found[$0]) }
            guard values.allSatisfy(\.isFinite) else {
                throw SHViTError.runtimeFailure(
                    "The artifact's outputs for the golden \(image.image) are not finite.",
                    why: "A value inside the model overflows its precision on this compute unit.",
                    next: "Try another compute unit, or find the layer: shvit-mobile validate --layers")
            }
            answer.append(values)
        }
        return answer
    }

    private static func text(_ outputs: [String: [Float]]) -> String {
        outputs.sorted { $0.key < $1.key }.map { "\($0.value.count) values as \($0.key)" }.joined(separator: ", ")
    }
}

extension Goldens {
    /// A part of the outputs that is compared with a tolerance of its own.
    struct Part {
        /// The output's name; nil for the only output, the logits.
        let name: String?
        /// The places of the values; nil for all.
        let positions: [Int]?
        let tolerance: Double
    }

    /// The logits, or each map.
    var parts: [Part] {
        sampledOutputs?.map { Part(name: $0.name, positions: $0.positions, tolerance: $0.tolerance) }
            ?? [Part(name: nil, positions: nil, tolerance: tolerance)]
    }
}

/// The differences of one output over all pictures.
private struct Comparison {
    let tolerance: Double
    private(set) var largest = 0.0
    private var signal = 0.0
    private var noise = 0.0

    init(tolerance: Double) {
        self.tolerance = tolerance
    }

    /// How many tolerances the largest difference is.
    var excess: Double { largest / max(tolerance, 1e-30) }

    var sqnrDb: Double { noise == 0 ? .infinity : 10 * log10(signal / noise) }

    mutating func add(expected: some Sequence<Double>, actual: [Double]) {
        for (expected, actual) in zip(expected, actual) {
            largest = max(largest, abs(expected - actual))
            signal += expected * expected
            noise += (expected - actual) * (expected - actual)
        }
    }
}

/// The result of a golden check.
public struct GoldenOutcome: Equatable, Sendable {
    /// The device's pixels compared with the stored ones.
    public struct Preprocessing: Equatable, Sendable {
        /// The mean absolute difference of the worst image, from 0 to 255.
        public let difference: Double
        /// The largest difference that the goldens allow for this image; more if it was decoded at reduced scale.
        public let tolerance: Double
        /// Whether the difference is within the tolerance.
        public var passed: Bool { difference <= tolerance }
    }

    /// The artifact's outputs for the stored pixels compared with the stored values.
    public struct Inference: Equatable, Sendable {
        /// The largest difference of any logit or value; of several maps, of the one that is furthest beyond its tolerance.
        public let largestDifference: Double
        /// The largest difference that the goldens allow there.
        public let tolerance: Double
        /// The SQNR of the logits in dB, or the lowest of a map; infinite if all are equal.
        public let sqnrDb: Double
        /// The number of images on which both choose the same class; nil for maps.
        public let sameClass: Int?
        /// Whether the difference is within the tolerance.
        public var passed: Bool { largestDifference <= tolerance }
    }

    /// The number of goldens.
    public let images: Int
    /// The result for decoding and preprocessing.
    public let preprocessing: Preprocessing
    /// The result for the artifact.
    public let inference: Inference

    /// Whether preprocessing and inference passed.
    public var passed: Bool { preprocessing.passed && inference.passed }

    /// The result as a device report holds it.
    public var record: DeviceReport.GoldenCheck {
        DeviceReport.GoldenCheck(
            images: images, preprocessingPassed: preprocessing.passed, pixelsDifference: preprocessing.difference,
            inferencePassed: inference.passed, largestDifference: inference.largestDifference,
            tolerance: inference.tolerance, sqnrDb: inference.sqnrDb, sameClass: inference.sameClass)
    }

    /// A sentence about preprocessing and one about inference.
    public var sentences: [String] {
        let answers =
            "Inference \(inference.passed ? "passed" : "failed"): the largest difference of a "
            + "\(inference.sameClass == nil ? "map's value" : "logit") is "
            + "\(Self.short(inference.largestDifference)) (tolerance \(Self.short(inference.tolerance)))"
            + (inference.sameClass.map { "; \($0) of \(images) images get the same class." } ?? ".")
        let pixels =
            "Preprocessing \(preprocessing.passed ? "passed" : "failed"): the largest mean pixel difference is "
            + "\(Self.short(preprocessing.difference)) of 255 (tolerance \(Self.short(preprocessing.tolerance)))."
        return [pixels, answers]
    }

    private static func short(_ value: Double) -> String {
        String(format: "%.3g", value)
    }
}

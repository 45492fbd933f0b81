import Foundation

/// Checks a device against an artifact's goldens, in two parts.
///
/// Preprocessing: the device decodes and preprocesses each golden's picture, and its pixels are compared with the
/// stored ones.
/// Inference: the artifact runs on the stored pixels, and its logits are compared with the stored ones.
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
    /// - Throws: `SHViTError` if a golden is damaged, or the logits are invalid; `CancellationError`.
    public func check(_ classifier: any Classifier) async throws -> GoldenOutcome {
        let pixels = try set.goldens.images.map(set.pixels(of:))
        return GoldenOutcome(
            images: pixels.count,
            preprocessing: try preprocessing(against: pixels),
            inference: try await inference(of: classifier, on: pixels))
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

    private func inference(
        of classifier: any Classifier, on pixels: [RGBImage]
    ) async throws -> GoldenOutcome.Inference {
        var (largest, signal, noise, sameClass) = (0.0, 0.0, 0.0, 0)
        for (image, stored) in zip(set.goldens.images, pixels) {
            try Task.checkCancellation()
            let answer = try await classifier.logits(for: stored).map(Double.init)
            try check(answer, of: image)
            for (expected, actual) in zip(image.logits, answer) {
                largest = max(largest, abs(expected - actual))
                signal += expected * expected
                noise += (expected - actual) * (expected - actual)
            }
            sameClass += largestIndex(answer) == largestIndex(image.logits) ? 1 : 0
        }
        let sqnr = noise == 0 ? .infinity : 10 * log10(signal / noise)
        return .init(
            largestDifference: largest, tolerance: set.goldens.tolerance, sqnrDb: sqnr, sameClass: sameClass)
    }

    private func check(_ answer: [Double], of image: Goldens.Image) throws(SHViTError) {
        guard answer.count == image.logits.count else {
            throw SHViTError.artifactChanged(
                "The artifact returns \(answer.count) logits, but the golden \(image.image) has \(image.logits.count).",
                why: "They belong to different models.", next: "Embed the model again: shvit-mobile embed ARTIFACT")
        }
        guard answer.allSatisfy(\.isFinite) else {
            throw SHViTError.runtimeFailure(
                "The artifact's logits for the golden \(image.image) are not finite.",
                why: "A value inside the model overflows its precision on this compute unit.",
                next: "Try another compute unit, or find the layer: shvit-mobile validate --layers")
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

    /// The artifact's logits for the stored pixels compared with the stored logits.
    public struct Inference: Equatable, Sendable {
        /// The largest difference of any logit.
        public let largestDifference: Double
        /// The largest difference that the goldens allow.
        public let tolerance: Double
        /// The SQNR of the logits in dB; infinite if all are equal.
        public let sqnrDb: Double
        /// The number of images on which both choose the same class.
        public let sameClass: Int
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
            "Inference \(inference.passed ? "passed" : "failed"): the largest logit difference is "
            + "\(Self.short(inference.largestDifference)) (tolerance \(Self.short(inference.tolerance))); "
            + "\(inference.sameClass) of \(images) images get the same class."
        let pixels =
            "Preprocessing \(preprocessing.passed ? "passed" : "failed"): the largest mean pixel difference is "
            + "\(Self.short(preprocessing.difference)) of 255 (tolerance \(Self.short(preprocessing.tolerance)))."
        return [pixels, answers]
    }

    private static func short(_ value: Double) -> String {
        String(format: "%.3g", value)
    }
}

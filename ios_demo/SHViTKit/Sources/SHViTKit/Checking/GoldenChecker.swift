import Foundation

/// Checks a device against an artifact's goldens in two halves, so that a person sees which one is off.
///
/// Preprocessing: the device decodes each golden's picture, makes pixels of it, and compares them with the stored ones.
/// Inference: the artifact is given the stored pixels, and its logits are compared with the stored ones.
public struct GoldenChecker: Sendable {
    /// Makes an upright RGB picture of an encoded one.
    public typealias Decoder = @Sendable (Data) throws -> RGBImage
    /// Makes a model's pixels of a picture.
    public typealias Preparation = @Sendable (RGBImage) throws -> RGBImage

    private let set: GoldenSet
    private let decoder: Decoder
    private let preparation: Preparation

    /// - Parameters:
    ///   - set: the goldens.
    ///   - decoder: the device's own, as it decodes an app's photos.
    ///   - preparation: what the app makes pixels with; this package's `Preprocessor` if nil.
    /// - Throws: `SHViTError` where the goldens' preprocessing makes no sense.
    public init(_ set: GoldenSet, decoder: @escaping Decoder, preparation: Preparation? = nil) throws(SHViTError) {
        let preprocessor = try Preprocessor(set.goldens.preprocessing)
        self.set = set
        self.decoder = decoder
        self.preparation = preparation ?? preprocessor.pixels(of:)
    }

    /// Both halves.
    ///
    /// - Throws: `SHViTError` where a golden is damaged or an answer is none; `CancellationError`.
    public func check(_ classifier: any Classifier) async throws -> GoldenOutcome {
        let pixels = try set.goldens.images.map(set.pixels(of:))
        return GoldenOutcome(
            images: pixels.count,
            preprocessing: try preprocessing(against: pixels),
            inference: try await inference(of: classifier, on: pixels))
    }

    private func preprocessing(against expected: [RGBImage]) throws -> GoldenOutcome.Preprocessing {
        var worst = 0.0
        for (image, stored) in zip(set.goldens.images, expected) {
            try Task.checkCancellation()
            let ours = try preparation(decoder(set.picture(of: image)))
            // Pixels of another size are as far off as pixels can be.
            worst = max(worst, ours.meanDifference(from: stored) ?? 255)
        }
        return .init(difference: worst, tolerance: set.goldens.pixelsTolerance)
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
            throw SHViTError(
                "The artifact gives \(answer.count) logits, and the golden \(image.image) has \(image.logits.count).",
                why: "They are of different models.", next: "Embed the model again: shvit-mobile embed")
        }
        guard answer.allSatisfy(\.isFinite) else {
            throw SHViTError(
                "The artifact's logits for the golden \(image.image) are not finite.",
                why: "A value inside is past what its precision holds, on this compute unit.",
                next: "Try another compute unit, and see: shvit-mobile validate --layers")
        }
    }
}

/// What a check against goldens found.
public struct GoldenOutcome: Equatable, Sendable {
    /// The device's own pixels against the stored ones.
    public struct Preprocessing: Equatable, Sendable {
        /// Mean absolute difference of the worst image, in steps of 0 to 255.
        public let difference: Double
        /// What the goldens allow.
        public let tolerance: Double
        /// Whether they are near enough.
        public var passed: Bool { difference <= tolerance }
    }

    /// The artifact's logits for the stored pixels against the stored ones.
    public struct Inference: Equatable, Sendable {
        /// Of any logit.
        public let largestDifference: Double
        /// What the goldens allow.
        public let tolerance: Double
        /// In dB; infinite where all are equal.
        public let sqnrDb: Double
        /// Images on which both choose the same class.
        public let sameClass: Int
        /// Whether they are near enough.
        public var passed: Bool { largestDifference <= tolerance }
    }

    /// How many goldens.
    public let images: Int
    /// Of decoding and preparing pictures.
    public let preprocessing: Preprocessing
    /// Of the artifact.
    public let inference: Inference

    /// Whether both halves passed.
    public var passed: Bool { preprocessing.passed && inference.passed }

    /// For the device report.
    public var record: DeviceReport.GoldenCheck {
        DeviceReport.GoldenCheck(
            images: images, preprocessingPassed: preprocessing.passed, pixelsDifference: preprocessing.difference,
            inferencePassed: inference.passed, largestDifference: inference.largestDifference,
            tolerance: inference.tolerance, sqnrDb: inference.sqnrDb, sameClass: inference.sameClass)
    }

    /// A sentence for each half.
    public var sentences: [String] {
        let answers =
            "Inference \(inference.passed ? "is right" : "is off"): no logit differs by more than "
            + "\(Self.short(inference.largestDifference)), and \(Self.short(inference.tolerance)) is allowed; "
            + "\(inference.sameClass) of \(images) classes are the same."
        let pixels =
            "Preprocessing \(preprocessing.passed ? "is right" : "is off"): the worst picture's pixels differ by "
            + "\(Self.short(preprocessing.difference)) of 255, and \(Self.short(preprocessing.tolerance)) is allowed."
        return [pixels, answers]
    }

    private static func short(_ value: Double) -> String {
        String(format: "%.3g", value)
    }
}

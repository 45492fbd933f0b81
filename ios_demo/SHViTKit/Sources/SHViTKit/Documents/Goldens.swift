/// Example pictures with the pixels and outputs that an artifact must reproduce on a device.
public struct Goldens: DocumentContent, Checked {
    /// The positions of a map whose values are stored; a whole map is too large for JSON.
    public struct OutputSamples: Codable, Equatable, Sendable, Checked {
        /// The output's name.
        public var name: String
        /// Places in the map, which has the order channels, rows, columns; increasing.
        public var positions: [Int]
        /// The largest difference of a value that kernels of other processors may cause.
        public var tolerance: Double

        func check() throws(Fault) {
            try check(count: positions.count, "positions", in: 1...)
            try check(positions[0], "positions")
            if !zip(positions, positions.dropFirst()).allSatisfy(<) { throw Fault("positions", "are out of order") }
            try check(tolerance, "tolerance")
        }
    }

    /// A golden: a picture with its pixels, and logits or values of maps.
    public struct Image: Codable, Equatable, Sendable, Checked {
        /// The file name of the encoded picture, a JPEG.
        public var image: String
        /// The SHA-256 of the encoded picture.
        public var imageSha256: String
        /// The file name of the preprocessed pixels: bytes in the order rows, columns, channels.
        public var pixels: String
        /// The SHA-256 of the pixels.
        public var pixelsSha256: String
        /// The artifact's logits for these pixels, computed at export; empty for other tasks than `classify`.
        @Default<EmptyList<Double>> public var logits: [Double]
        /// The float model's logits for these pixels.
        @Default<EmptyList<Double>> public var floatLogits: [Double]
        /// For other tasks, the artifact's values at the positions of `sampledOutputs`, output by output.
        public var sampledValues: [Double]?
        /// The float model's values there.
        public var floatSampledValues: [Double]?

        /// What is compared: the logits, or the values of maps.
        var expected: [Double] { sampledValues ?? logits }

        func check() throws(Fault) {
            try check(sha256: imageSha256, "image_sha256")
            try check(sha256: pixelsSha256, "pixels_sha256")
            try check(finite: logits, "logits")
            try check(finite: floatLogits, "float_logits")
            try check(finite: sampledValues ?? [], "sampled_values")
            try check(finite: floatSampledValues ?? [], "float_sampled_values")
        }
    }

    public static let kind = "goldens"
    public static let title = "a list of goldens"
    public static let newestVersion = "1.2"

    public var schemaVersion: String
    public var kind: String
    /// The SHA-256 of the artifact that the goldens belong to.
    public var artifactSha256: String
    /// The artifact's precision.
    public var precision: Precision
    /// The preprocessing that turns a picture into pixels.
    public var preprocessing: Preprocessing
    /// How the artifact was executed.
    public var how: Execution
    /// The runtime's name and version.
    public var engine: String
    /// The largest difference of a logit that kernels of other processors may cause; of maps, the largest tolerance of
    /// `sampledOutputs`.
    public var tolerance: Double
    /// Which values of each map are stored; nil for a classifier.
    public var sampledOutputs: [OutputSamples]?
    /// The mean absolute difference, from 0 to 255, that another JPEG decoder may cause.
    public var pixelsTolerance: Double
    /// The same for a picture that is decoded at reduced scale; nil in version 1.0, whose pictures have the usual one.
    public var reducedPixelsTolerance: Double?
    /// The goldens; at least one.
    public var images: [Image]

    func check() throws(Fault) {
        try check(sha256: artifactSha256, "artifact_sha256")
        try check(preprocessing, "preprocessing")
        try check(tolerance, "tolerance")
        try check(pixelsTolerance, "pixels_tolerance")
        if let reducedPixelsTolerance {
            guard reducedPixelsTolerance >= pixelsTolerance else {
                throw Fault("reduced_pixels_tolerance", "is below pixels_tolerance")
            }
        } else if schemaVersion != "1.0" {
            throw Fault("reduced_pixels_tolerance", "is missing")
        }
        try check(count: images.count, "images", in: 1...)
        try check(images, "images")
        try check(sampledOutputs ?? [], "sampled_outputs")
        let sampled = sampledOutputs.map { $0.reduce(0) { $0 + $1.positions.count } }
        for (index, image) in images.enumerated() where image.sampledValues?.count != sampled {
            let count = image.sampledValues?.count ?? 0
            throw Fault("images.\(index)", "has \(count) values for \(sampled ?? 0) positions")
        }
    }
}

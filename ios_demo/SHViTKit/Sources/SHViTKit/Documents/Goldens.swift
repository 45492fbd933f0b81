/// A few pictures as an app is handed them, and what an artifact is to make of them.
public struct Goldens: DocumentContent, Checked {
    /// One picture.
    public struct Image: Codable, Equatable, Sendable, Checked {
        /// The name of the encoded picture in the folder, a JPEG.
        public var image: String
        /// Of the encoded picture.
        public var imageSha256: String
        /// The name of what preprocessing makes of it: bytes of rows, columns, channels.
        public var pixels: String
        /// Of the pixels.
        public var pixelsSha256: String
        /// The artifact's for these pixels, where it was made.
        public var logits: [Double]
        /// The float model's for the same pixels.
        public var floatLogits: [Double]

        func check() throws(Fault) {
            try check(sha256: imageSha256, "image_sha256")
            try check(sha256: pixelsSha256, "pixels_sha256")
            try check(finite: logits, "logits")
            try check(finite: floatLogits, "float_logits")
        }
    }

    public static let kind = "goldens"
    public static let title = "a list of goldens"

    public var schemaVersion: String
    public var kind: String
    /// Whose they are.
    public var artifactSha256: String
    /// Of the artifact.
    public var precision: Precision
    /// What makes pixels of a picture.
    public var preprocessing: Preprocessing
    /// What ran the artifact.
    public var how: How
    /// The runtime's name and version.
    public var engine: String
    /// The largest difference of a logit that another machine's kernels may make.
    public var tolerance: Double
    /// The mean absolute difference, in steps of 0 to 255, that another decoder of JPEG may make.
    public var pixelsTolerance: Double
    /// At least one.
    public var images: [Image]

    func check() throws(Fault) {
        try check(sha256: artifactSha256, "artifact_sha256")
        try check(preprocessing, "preprocessing")
        try check(tolerance, "tolerance")
        try check(pixelsTolerance, "pixels_tolerance")
        try check(count: images.count, "images", in: 1...)
        try check(images, "images")
    }
}

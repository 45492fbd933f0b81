/// Example pictures with the pixels and logits that an artifact must reproduce on a device.
public struct Goldens: DocumentContent, Checked {
    /// A golden: a picture with its pixels and logits.
    public struct Image: Codable, Equatable, Sendable, Checked {
        /// The file name of the encoded picture, a JPEG.
        public var image: String
        /// The SHA-256 of the encoded picture.
        public var imageSha256: String
        /// The file name of the preprocessed pixels: bytes in the order rows, columns, channels.
        public var pixels: String
        /// The SHA-256 of the pixels.
        public var pixelsSha256: String
        /// The artifact's logits for these pixels, computed at export.
        public var logits: [Double]
        /// The float model's logits for these pixels.
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
    /// The largest difference of a logit that kernels of other processors may cause.
    public var tolerance: Double
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
    }
}

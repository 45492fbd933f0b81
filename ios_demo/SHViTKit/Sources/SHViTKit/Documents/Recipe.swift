/// The number format of an artifact's weights and activations.
public enum Precision: String, Word {
    case fp32, fp16, int8
    case int8Dynamic = "int8-dynamic"
    case int8Weights = "int8-weights"
    case palette8 = "palette-8"
    case palette6 = "palette-6"
    case palette4 = "palette-4"
}

/// A quantization recipe: precision per layer, and activation ranges. An app only displays it.
public struct Recipe: DocumentContent, Checked {
    /// How an observer turns values into a range.
    public enum Observer: String, Word {
        case minMax = "min-max"
        case percentile
        case mse
    }

    /// The int8 scheme of activations.
    public enum Activations: String, Word {
        case affine, symmetric
    }

    /// The ranges of a layer's activations, each from minimum to maximum.
    public struct ActivationRange: Codable, Equatable, Sendable, Checked {
        /// The range of the input.
        public var input: [Double]
        /// The range of the output, after the ReLU if there is one.
        public var output: [Double]

        func check() throws(Fault) {
            try check(count: input.count, "input", is: 2)
            try check(count: output.count, "output", is: 2)
        }
    }

    /// Files that were not used for the same reason.
    public struct SkippedImages: Codable, Equatable, Sendable, Checked {
        /// The reason for the first of them.
        public var reason: String
        /// The number of files.
        public var count: Int
        /// The first of them.
        public var first: String

        func check() throws(Fault) {
            try check(count, "count")
        }
    }

    /// What became of the files in a folder of images.
    public struct ImageUse: Codable, Equatable, Sendable, Checked {
        /// The number of images that were asked for; nil for all.
        public var requested: Int?
        /// The number of files in the folder.
        public var found: Int
        /// The number of images that were used.
        public var used: Int
        /// The files that cannot be used, by reason.
        @Default<EmptyList<SkippedImages>> public var skipped: [SkippedImages]

        func check() throws(Fault) {
            try check(requested ?? 0, "requested")
            try check(found, "found")
            try check(used, "used")
            for (index, group) in skipped.enumerated() {
                try check(group, "skipped.\(index)")
            }
        }
    }

    /// The images that were used for calibration.
    public struct CalibrationImages: Codable, Equatable, Sendable, Checked {
        /// The folder's name.
        public var source: String
        /// The number of images.
        public var count: Int
        /// The SHA-256 over all images, in order.
        public var sha256: String
        /// The seed for sampling images.
        public var seed: Int
        /// The number of augmented variants per image.
        @Default<Zero> public var variants: Int
        /// What became of the files in the folder; nil in recipes of earlier versions.
        public var use: ImageUse?

        func check() throws(Fault) {
            try check(count, "count")
            try check(variants, "variants")
            try check(sha256: sha256, "sha256")
            try check(use, "use")
        }
    }

    /// A PTQ pass, and its gain on held-out images.
    public struct StepGain: Codable, Equatable, Sendable {
        /// The pass's name.
        public var step: String
        /// The SQNR of the logits without the pass, in dB.
        public var beforeDb: Double
        /// The SQNR of the logits with the pass, in dB.
        public var afterDb: Double
        /// Whether the recipe includes the pass.
        public var kept: Bool
    }

    /// The default scheme: affine.
    public enum Affine: DefaultValue {
        /// Affine.
        public static let value = Activations.affine
    }

    public static let kind = "recipe"
    public static let title = "a recipe"

    public var schemaVersion: String
    public var kind: String
    /// The precision of all layers without an exception.
    public var precision: Precision
    /// The kinds of operator that stay float.
    @Default<EmptyList<String>> public var floatKinds: [String]
    /// The names of further layers that stay float.
    @Default<EmptyList<String>> public var floatLayers: [String]
    /// The observer of the ranges; nil without ranges.
    public var observer: Observer?
    /// The int8 scheme of activations.
    @Default<Affine> public var activations: Activations
    /// The activation ranges of every int8 layer, by name.
    @Default<EmptyMap<ActivationRange>> public var ranges: [String: ActivationRange]
    /// The calibration images; nil if the precision needs none.
    public var calibration: CalibrationImages?
    /// The SHA-256 of the file with parameter overrides beside the recipe; nil if there is none.
    public var corrections: String?
    /// The PTQ passes that were tried, in order.
    @Default<EmptyList<StepGain>> public var steps: [StepGain]
    /// The exporter's checksum of the file's own content. An app keeps it and does not check it.
    public var contentSha256: String?

    func check() throws(Fault) {
        for (layer, range) in ranges {
            try check(range, "ranges.\(layer)")
        }
        try check(calibration, "calibration")
        try check(sha256: corrections, "corrections")
        try check(sha256: contentSha256, "content_sha256")
    }
}

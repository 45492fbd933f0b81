/// How numbers are kept in an artifact.
public enum Precision: String, Codable, Sendable, CaseIterable {
    case fp32, fp16, int8
    case int8Dynamic = "int8-dynamic"
    case int8Weights = "int8-weights"
    case palette8 = "palette-8"
    case palette6 = "palette-6"
    case palette4 = "palette-4"
}

/// What precision where, and the ranges behind it; an app only shows it.
public struct Recipe: DocumentContent, Checked {
    /// How ranges come from values.
    public enum Observer: String, Codable, Sendable, CaseIterable {
        case minMax = "min-max"
        case percentile
        case mse
    }

    /// How int8 spreads over a range.
    public enum Activations: String, Codable, Sendable, CaseIterable {
        case affine, symmetric
    }

    /// What a layer's input and output are to hold, each from the least to the largest.
    public struct ActivationRange: Codable, Equatable, Sendable, Checked {
        /// Of what comes in.
        public var input: [Double]
        /// Of what goes out, after the relu where there is one.
        public var output: [Double]

        func check() throws(Fault) {
            try check(count: input.count, "input", is: 2)
            try check(count: output.count, "output", is: 2)
        }
    }

    /// The images on which ranges were measured.
    public struct CalibrationImages: Codable, Equatable, Sendable, Checked {
        /// The folder's name.
        public var source: String
        /// How many.
        public var count: Int
        /// Over their bytes, in order.
        public var sha256: String
        /// Of the choice.
        public var seed: Int
        /// How many variants of them were looked at besides.
        @Default<Zero> public var variants: Int

        func check() throws(Fault) {
            try check(count, "count")
            try check(variants, "variants")
            try check(sha256: sha256, "sha256")
        }
    }

    /// One step towards a better int8, and what it gained on images that it did not see.
    public struct StepGain: Codable, Equatable, Sendable {
        /// Its name.
        public var step: String
        /// SQNR of the logits without it, in dB.
        public var beforeDb: Double
        /// With it.
        public var afterDb: Double
        /// Whether it is in the recipe.
        public var kept: Bool
    }

    /// Affine.
    public enum Affine: DefaultValue {
        /// Affine.
        public static let value = Activations.affine
    }

    public static let kind = "recipe"
    public static let title = "a recipe"

    public var schemaVersion: String
    public var kind: String
    /// Of everything that is no exception.
    public var precision: Precision
    /// Kinds of operator that stay float.
    @Default<EmptyList<String>> public var floatKinds: [String]
    /// Further layers that do, by name.
    @Default<EmptyList<String>> public var floatLayers: [String]
    /// Nil where there are no ranges.
    public var observer: Observer?
    /// How int8 spreads over a range.
    @Default<Affine> public var activations: Activations
    /// Of every layer that int8 quantizes, by its name.
    @Default<EmptyMap<ActivationRange>> public var ranges: [String: ActivationRange]
    /// Nil where the precision needs none.
    public var calibration: CalibrationImages?
    /// Of the file of changed parameters beside the recipe; nil where there is none.
    public var corrections: String?
    /// What was tried for a better int8, in order.
    @Default<EmptyList<StepGain>> public var steps: [StepGain]

    func check() throws(Fault) {
        for (layer, range) in ranges {
            try check(range, "ranges.\(layer)")
        }
        try check(calibration, "calibration")
        try check(sha256: corrections, "corrections")
    }
}

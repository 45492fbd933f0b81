/// All that an app needs to know about the artifact beside which it lies.
public struct Manifest: DocumentContent, Checked {
    /// Which runtime an artifact is for.
    public enum Target: String, Codable, Sendable, CaseIterable {
        case coreml, executorch, onnx
    }

    /// The artifact itself.
    public struct ArtifactFile: Codable, Equatable, Sendable, Checked {
        /// The name of the file, or of the folder that is a package.
        public var name: String
        /// On disk.
        public var bytes: Int
        /// As `Fingerprint` takes it.
        public var sha256: String

        func check() throws(Fault) {
            try check(bytes, "bytes")
            try check(sha256: sha256, "sha256")
        }
    }

    /// Which model the artifact was made from.
    public struct Provenance: Codable, Equatable, Sendable, Checked {
        /// As "shvit_s1".
        public var variant: String
        /// How many it tells apart.
        public var classes: Int
        /// Where the checkpoint came from.
        public var source: String
        /// Whose layout the checkpoint has.
        public var dialect: String
        /// Of the checkpoint.
        public var checkpointSha256: String

        func check() throws(Fault) {
            try check(sha256: checkpointSha256, "checkpoint_sha256")
        }
    }

    /// How the artifact takes images.
    public struct Input: Codable, Equatable, Sendable, Checked {
        /// What the runtime takes.
        public enum Kind: String, Codable, Sendable, CaseIterable {
            /// A picture's pixels (Core ML).
            case image
            /// An array.
            case tensor
        }

        /// What a value means.
        public enum Values: String, Codable, Sendable, CaseIterable {
            /// 0 to 255: normalisation is inside.
            case pixels
            /// `(pixel / 255 - mean) / std`.
            case normalised
        }

        /// How the values lie.
        public enum Layout: String, Codable, Sendable, CaseIterable {
            /// Channels, rows, columns.
            case image
            /// Blocks of 2x2 positions, with a border, stacked into channels.
            case spaceToDepth = "space-to-depth"
        }

        /// As an image.
        public enum AsImage: DefaultValue {
            /// As an image.
            public static let value = Layout.image
        }

        /// Of the input in the artifact.
        public var name: String
        /// What the runtime takes.
        public var kind: Kind
        /// What a value means.
        public var values: Values
        /// (batch, channels, height, width); a batch of 0 is dynamic.
        public var shape: [Int]
        /// Of the tensor; "uint8" for images.
        public var dtype: String
        /// How the values lie.
        @Default<AsImage> public var layout: Layout
        /// Under `spaceToDepth`, what the border holds in each colour.
        public var border: [Double]?

        func check() throws(Fault) {
            try check(count: shape.count, "shape", is: 4)
            try check(count: border?.count ?? 3, "border", is: 3)
        }
    }

    /// The outputs by name.
    public struct Output: Codable, Equatable, Sendable {
        /// Of the logits.
        public var logits: String
        /// Only where the artifact is a Core ML classifier.
        public var probabilities: String?
        /// Only where the artifact is a Core ML classifier.
        public var label: String?
    }

    /// What is inside.
    public struct Inventory: Codable, Equatable, Sendable {
        /// How many of each kind, as the target names them.
        public var operators: [String: Int]
        /// Bytes of constants by dtype.
        public var weightBytes: [String: Int]
        /// Layers that multiply int8 by int8.
        @Default<Zero> public var quantizedLayers: Int
    }

    /// How much of an ExecuTorch program a backend took.
    public struct Delegation: Codable, Equatable, Sendable {
        /// As "XnnpackBackend".
        public var backend: String
        /// Parts of the program that it runs.
        public var delegates: Int
        /// Operators in them.
        public var delegatedOperators: Int
        /// Operators outside, by name.
        public var leftOperators: [String: Int]
    }

    /// The artifact's logits for a drawn picture.
    public struct Golden: Codable, Equatable, Sendable {
        /// The one picture there is.
        public enum Ramp: DefaultValue {
            /// Its name.
            public static let value = "ramp"
        }

        /// Which picture.
        @Default<Ramp> public var picture: String
        /// What came out.
        public var logits: [Double]
        /// What ran it.
        public var how: How
        /// The largest difference that other kernels may make.
        public var tolerance: Double
    }

    /// The folder of goldens beside the artifact.
    public struct GoldensFolder: Codable, Equatable, Sendable, Checked {
        /// Of the folder.
        public var name: String
        /// As `Fingerprint` takes it.
        public var sha256: String

        func check() throws(Fault) {
            try check(sha256: sha256, "sha256")
        }
    }

    public static let kind = "manifest"
    public static let title = "a manifest"

    public var schemaVersion: String
    public var kind: String
    /// The artifact itself.
    public var artifact: ArtifactFile
    /// Which runtime it is for.
    public var target: Target
    /// Of the artifact.
    public var precision: Precision
    /// Which model it was made from.
    public var model: Provenance
    /// The classes' names, in the order of the logits.
    public var labels: [String]
    /// How a picture becomes its input.
    public var preprocessing: Preprocessing
    /// How it takes images.
    public var input: Input
    /// Its outputs by name.
    public var output: Output
    /// How it was quantized.
    public var recipe: Recipe
    /// Those of the export.
    public var options: [String: JSONValue]
    /// Of every tool that made it.
    public var versions: [String: String]
    /// What is inside.
    public var inventory: Inventory
    /// Of an ExecuTorch program.
    public var delegation: Delegation?
    /// Its logits for a drawn picture.
    public var golden: Golden?
    /// The folder of goldens beside it.
    public var goldens: GoldensFolder?
    /// How far it was from its float model.
    public var drift: DriftRow?

    func check() throws(Fault) {
        try check(artifact, "artifact")
        try check(model, "model")
        try check(preprocessing, "preprocessing")
        try check(input, "input")
        try check(recipe, "recipe")
        try check(goldens, "goldens")
        try check(drift, "drift")
    }
}

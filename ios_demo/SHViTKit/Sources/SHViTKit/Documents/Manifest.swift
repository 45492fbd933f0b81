/// The description of an artifact, stored beside it: everything that an app needs to run it.
public struct Manifest: DocumentContent, Checked {
    /// What a model computes.
    public enum Task: String, Word {
        /// Logits.
        case classify
        /// Feature maps.
        case features
        /// The raw maps of a detector.
        case detect
    }

    /// The default task: version 1.0 had classifiers only.
    public enum Classifies: DefaultValue {
        /// Classify.
        public static let value = Task.classify
    }

    /// The runtime that an artifact is for.
    public enum Target: String, Word {
        case coreml, executorch, onnx, litert, coreai
    }

    /// The artifact's file.
    public struct ArtifactFile: Codable, Equatable, Sendable, Checked {
        /// The name of the file, or of the package's folder.
        public var name: String
        /// The size on disk, in bytes.
        public var bytes: Int
        /// The SHA-256, computed by `Fingerprint`.
        public var sha256: String

        func check() throws(Fault) {
            try check(bytes, "bytes")
            try check(sha256: sha256, "sha256")
        }
    }

    /// The model that the artifact was exported from.
    public struct Provenance: Codable, Equatable, Sendable, Checked {
        /// The model variant, such as "shvit_s1".
        public var variant: String
        /// The number of classes.
        public var classes: Int
        /// The origin of the checkpoint.
        public var source: String
        /// The dialect of the checkpoint: whose parameter names it uses.
        public var dialect: String
        /// The SHA-256 of the checkpoint.
        public var checkpointSha256: String

        func check() throws(Fault) {
            try check(sha256: checkpointSha256, "checkpoint_sha256")
        }
    }

    /// The artifact's input.
    public struct Input: Codable, Equatable, Sendable, Checked {
        /// The type of the input.
        public enum Kind: String, Word {
            /// An image (Core ML).
            case image
            /// A tensor.
            case tensor
        }

        /// The range of the input values.
        public enum Values: String, Word {
            /// From 0 to 255; the artifact normalizes them.
            case pixels
            /// `(pixel
            /// 255 - mean)
            /// std`.
            case normalized = "normalised"
        }

        /// The order of the input values.
        public enum Layout: String, Word {
            /// Channels, rows, columns.
            case image
            /// 2x2 blocks of the image with a border, stacked into channels.
            case spaceToDepth = "space-to-depth"
        }

        /// The default layout: an image.
        public enum AsImage: DefaultValue {
            /// An image.
            public static let value = Layout.image
        }

        /// The input's name in the artifact.
        public var name: String
        /// The type of the input.
        public var kind: Kind
        /// The range of the input values.
        public var values: Values
        /// The shape (batch, channels, height, width); a batch of 0 is dynamic.
        public var shape: [Int]
        /// The tensor's dtype; "uint8" for images.
        public var dtype: String
        /// The order of the input values.
        @Default<AsImage> public var layout: Layout
        /// The border's value in each channel, for `spaceToDepth`.
        public var border: [Double]?

        func check() throws(Fault) {
            try check(count: shape.count, "shape", is: 4)
            try check(count: border?.count ?? 3, "border", is: 3)
        }
    }

    /// The names of the artifact's outputs.
    public struct Output: Codable, Equatable, Sendable {
        /// The output with the logits.
        public var logits: String
        /// The output with the probabilities; only of a Core ML classifier.
        public var probabilities: String?
        /// The output with the label; only of a Core ML classifier.
        public var label: String?
    }

    /// The artifact's operators and weights.
    public struct Inventory: Codable, Equatable, Sendable {
        /// The number of operators of each kind, by the target's names.
        public var operators: [String: Int]
        /// Bytes of constants by dtype.
        public var weightBytes: [String: Int]
        /// The number of layers that multiply int8 by int8.
        @Default<Zero> public var quantizedLayers: Int
    }

    /// The share of an ExecuTorch program that a backend runs.
    public struct Delegation: Codable, Equatable, Sendable {
        /// The backend, such as "XnnpackBackend".
        public var backend: String
        /// The number of delegated partitions.
        public var delegates: Int
        /// The number of delegated operators.
        public var delegatedOperators: Int
        /// The operators that are not delegated, by name.
        public var leftOperators: [String: Int]
    }

    /// The artifact's logits for a synthetic picture.
    public struct Golden: Codable, Equatable, Sendable {
        /// The default picture.
        public enum Ramp: DefaultValue {
            /// The picture's name.
            public static let value = "ramp"
        }

        /// The picture.
        @Default<Ramp> public var picture: String
        /// The artifact's logits.
        public var logits: [Double]
        /// How the artifact was executed.
        public var how: Execution
        /// The largest difference of a logit that other kernels may cause.
        public var tolerance: Double
    }

    /// The folder of goldens beside the artifact.
    public struct GoldensFolder: Codable, Equatable, Sendable, Checked {
        /// The folder's name.
        public var name: String
        /// The folder's SHA-256, computed by `Fingerprint`.
        public var sha256: String

        func check() throws(Fault) {
            try check(sha256: sha256, "sha256")
        }
    }

    public static let kind = "manifest"
    public static let title = "a manifest"
    public static let newestVersion = "1.1"

    public var schemaVersion: String
    public var kind: String
    /// The artifact's file.
    public var artifact: ArtifactFile
    /// What the model computes; this package only reads manifests of classifiers.
    @Default<Classifies> public var task: Task
    /// The runtime that the artifact is for.
    public var target: Target
    /// The artifact's precision.
    public var precision: Precision
    /// The model that the artifact was exported from.
    public var model: Provenance
    /// The class names, in the order of the logits.
    public var labels: [String]
    /// The preprocessing of pictures.
    public var preprocessing: Preprocessing
    /// The artifact's input.
    public var input: Input
    /// The names of the artifact's outputs.
    public var output: Output
    /// The quantization recipe.
    public var recipe: Recipe
    /// The options of the export.
    public var options: [String: JSONValue]
    /// The versions of all tools that took part in the export.
    public var versions: [String: String]
    /// The artifact's operators and weights.
    public var inventory: Inventory
    /// The delegation of an ExecuTorch program.
    public var delegation: Delegation?
    /// The logits for a synthetic picture.
    public var golden: Golden?
    /// The folder of goldens beside the artifact.
    public var goldens: GoldensFolder?
    /// The drift from the float model.
    public var drift: DriftRow?
    /// The exporter's checksum of the manifest's own content. An app keeps it and does not check it.
    public var contentSha256: String?

    /// Rejects the manifest of a model that is no classifier.
    public static func checkSupport(of json: JSONValue, source: String) throws(SHViTError) {
        guard case .text(let task)? = json["task"], task != Task.classify.rawValue else { return }
        throw SHViTError.unsupportedDocument(
            "\(source) is a manifest of the \(Task(rawValue: task) == nil ? "unknown " : "")task '\(task)'.",
            why: "This app runs classifiers.", next: "Export the model with --task classify, or update the app.")
    }

    func check() throws(Fault) {
        try check(artifact, "artifact")
        try check(model, "model")
        try check(preprocessing, "preprocessing")
        try check(input, "input")
        try check(recipe, "recipe")
        try check(goldens, "goldens")
        try check(drift, "drift")
        try check(sha256: contentSha256, "content_sha256")
    }
}

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

    /// An output with a value for each channel and position.
    public struct OutputMap: Codable, Equatable, Sendable, Checked {
        /// The output's name in the artifact.
        public var name: String
        /// The shape (channels, rows, columns) for one picture.
        public var shape: [Int]
        /// The distance of neighboring positions, in pixels of the input.
        public var stride: Int

        func check() throws(Fault) {
            try check(count: shape.count, "shape", is: 3)
            for side in shape { try check(side, "shape", least: 1) }
            try check(stride, "stride", least: 1)
        }
    }

    /// The artifact's outputs.
    public struct Output: Codable, Equatable, Sendable, Checked {
        /// The output with a classifier's logits; nil for other tasks.
        public var logits: String?
        /// The output with the probabilities; only of a Core ML classifier.
        public var probabilities: String?
        /// The output with the label; only of a Core ML classifier.
        public var label: String?
        /// The outputs of other tasks, in the order in which the artifact returns them; nil for a classifier.
        public var maps: [OutputMap]?

        /// The names of the outputs that a runner returns, in the order of the artifact.
        public var names: [String] {
            logits.map { [$0] } ?? (maps ?? []).map(\.name)
        }

        func check() throws(Fault) {
            try check(maps ?? [], "maps")
        }
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

    /// The artifact's logits, or some values of its maps, for a synthetic picture.
    public struct Golden: Codable, Equatable, Sendable {
        /// The default picture.
        public enum Ramp: DefaultValue {
            /// The picture's name.
            public static let value = "ramp"
        }

        /// The picture.
        @Default<Ramp> public var picture: String
        /// The logits of a classifier; empty for other tasks.
        @Default<EmptyList<Double>> public var logits: [Double]
        /// Which values of maps are stored; nil for a classifier.
        public var sampledOutputs: [Goldens.OutputSamples]?
        /// These values, one output after the other.
        public var sampledValues: [Double]?
        /// How the artifact was executed.
        public var how: Execution
        /// The largest difference of a value that other kernels may cause.
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
    /// What the model computes.
    @Default<Classifies> public var task: Task
    /// The runtime that the artifact is for.
    public var target: Target
    /// The artifact's precision.
    public var precision: Precision
    /// The model that the artifact was exported from.
    public var model: Provenance
    /// The class names, in the order of the logits or scores; empty for feature maps.
    public var labels: [String]
    /// The preprocessing of pictures.
    public var preprocessing: Preprocessing
    /// The artifact's input.
    public var input: Input
    /// The artifact's outputs.
    public var output: Output
    /// How the maps of a detector become boxes; nil for other tasks.
    public var detection: Detection?
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
    /// The artifact's answer for a synthetic picture.
    public var golden: Golden?
    /// The folder of goldens beside the artifact.
    public var goldens: GoldensFolder?
    /// The drift from the float model.
    public var drift: DriftRow?
    /// The image sizes of a program with several, as JSON; an app runs the first, which all other fields are about.
    public var sizes: [JSONValue]?
    /// The exporter's checksum of the manifest's own content. An app keeps it and does not check it.
    public var contentSha256: String?

    /// Rejects the manifest of a model with an unknown task.
    public static func checkSupport(of json: JSONValue, source: String) throws(SHViTError) {
        guard case .text(let task)? = json["task"], Task(rawValue: task) == nil else { return }
        let known = Task.allCases.map(\.rawValue).joined(separator: ", ")
        throw SHViTError.unsupportedDocument(
            "\(source) is a manifest of the unknown task '\(task)'.", why: "This app knows the tasks \(known).",
            next: "Export the model with --task classify or detect, or update the app.")
    }

    func check() throws(Fault) {
        try check(artifact, "artifact")
        try check(model, "model")
        try check(preprocessing, "preprocessing")
        try check(input, "input")
        try check(output, "output")
        try check(detection, "detection")
        try checkTask()
        try check(recipe, "recipe")
        try check(goldens, "goldens")
        try check(drift, "drift")
        try check(sha256: contentSha256, "content_sha256")
    }

    /// Throws if outputs or detection contradict the task.
    private func checkTask() throws(Fault) {
        let maps = output.maps ?? []
        if (task == .classify) != (output.logits != nil && maps.isEmpty) || task != .classify && maps.isEmpty {
            throw Fault("output", "does not fit the task \(task.rawValue)")
        }
        if (task == .detect) != (detection != nil) {
            throw Fault("detection", "does not fit the task \(task.rawValue)")
        }
        guard let detection else { return }
        let expected = [labels.count, 4].flatMap { channels in
            detection.strides.map { [channels * detection.anchors, $0] }
        }
        if maps.map({ [$0.shape[0], $0.stride] }) != expected {
            throw Fault("output.maps", "are no scores and boxes of the strides \(detection.strides)")
        }
    }
}

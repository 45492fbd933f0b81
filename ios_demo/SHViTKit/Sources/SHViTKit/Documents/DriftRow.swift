/// How an artifact was executed.
public enum Execution: String, Word {
    /// By the target's own runtime.
    case native
    /// By a reference executor of the target's specification.
    case reference
    /// By the target's own runtime on an emulated CPU.
    case emulated
    /// By PyTorch, which simulated the artifact.
    case simulated
}

/// How far an artifact's results are from the float model's, on the same images.
public struct DriftRow: Codable, Equatable, Sendable, Checked {
    /// A share of images with its 95% confidence interval, all from 0 to 1.
    public struct Share: Codable, Equatable, Sendable, Checked {
        /// The share.
        public var value: Double
        /// The interval's lower end.
        public var low: Double
        /// The interval's upper end.
        public var high: Double

        func check() throws(Fault) {
            try check(value, "value", in: 0...1)
            try check(low, "low", in: 0...1)
            try check(high, "high", in: 0...1)
        }
    }

    /// McNemar's test of two models' top-1 results.
    public struct McNemar: Codable, Equatable, Sendable, Checked {
        /// The number of images that only the float model classified correctly.
        public var lost: Int
        /// The number of images that only the artifact classified correctly.
        public var gained: Int
        /// The exact two-sided p-value.
        public var pValue: Double

        func check() throws(Fault) {
            try check(lost, "lost")
            try check(gained, "gained")
            try check(pValue, "p_value", in: 0...1)
        }
    }

    /// The CPU that was emulated.
    public struct EmulatedCPU: Codable, Equatable, Sendable {
        /// The CPU's architecture.
        public var arch: String
        /// The CPU's name.
        public var name: String
        /// The features by which XNNPACK selects kernels.
        public var features: [String]
    }

    /// The drift of one map of a model that is no classifier.
    public struct MapDrift: Codable, Equatable, Sendable, Checked {
        /// The output's name.
        public var name: String
        /// The SQNR in dB; infinite if the maps are equal.
        public var sqnrDb: Double
        /// The cosine similarity of artifact and float model.
        public var cosine: Double
        /// The channel with the lowest SQNR.
        public var worstChannel: Int
        /// The SQNR of that channel in dB.
        public var worstChannelDb: Double
        /// The largest difference of any value.
        public var maxAbsError: Double

        func check() throws(Fault) {
            try check(cosine, "cosine", in: -1...1)
            try check(worstChannel, "worst_channel")
            try check(maxAbsError, "max_abs_error")
        }
    }

    /// The artifact's file name.
    public var artifact: String
    /// The target: "coreml", "executorch" or "onnx", or what else was compared.
    public var target: String
    /// The artifact's precision.
    public var precision: String
    /// How the artifact was executed.
    public var how: Execution
    /// The runtime's name and version.
    public var engine: String
    /// The artifact's SHA-256; nil if there was no artifact.
    public var artifactSha256: String?
    /// The emulated CPU; nil for the machine's own.
    public var cpu: EmulatedCPU?
    /// The number of images that both models ran on.
    public var images: Int
    /// The number of files that could not be decoded.
    @Default<Zero> public var skipped: Int
    /// The artifact's top-1 accuracy; nil without labels, as the next three.
    public var top1: Share?
    /// The artifact's top-5 accuracy; nil also with five classes or fewer.
    public var top5: Share?
    /// The float model's top-1 accuracy.
    public var floatTop1: Share?
    /// The float model's top-5 accuracy.
    public var floatTop5: Share?
    /// The loss of top-1 accuracy against the float model, in points.
    public var top1Drop: Double?
    /// The paired 95% confidence interval of `top1Drop`.
    public var top1DropInterval: [Double]?
    /// McNemar's test of top-1 against the float model.
    public var mcnemar: McNemar?
    /// The share of images on which both models choose the same class; nil for maps.
    public var agreement: Share?
    /// The SQNR of the logits in dB, or the lowest of a map; infinite if they are equal.
    public var sqnrDb: Double
    /// The largest difference of any logit, or of any value of a map.
    public var maxAbsError: Double
    /// The mean KL divergence of the artifact's class distribution from the float model's, in nats; nil for
    /// maps.
    public var meanKl: Double?
    /// The drift of each map; nil for a classifier.
    public var maps: [MapDrift]?
    /// The boxes that a detector shares with the float model, as JSON; an app does not use them.
    public var boxes: JSONValue?
    /// The average precision of a detector and of the float model, as JSON; an app does not use it.
    public var averagePrecision: JSONValue?

    func check() throws(Fault) {
        try check(sha256: artifactSha256, "artifact_sha256")
        try check(images, "images", least: 1)
        try check(skipped, "skipped")
        try check(top1, "top1")
        try check(top5, "top5")
        try check(floatTop1, "float_top1")
        try check(floatTop5, "float_top5")
        try check(count: top1DropInterval?.count ?? 2, "top1_drop_interval", is: 2)
        try check(mcnemar, "mcnemar")
        try check(agreement, "agreement")
        try check(maps ?? [], "maps")
        if maps == nil, agreement == nil || meanKl == nil { throw Fault("agreement", "is missing") }
    }
}

/// What ran an artifact.
public enum How: String, Codable, Sendable, CaseIterable {
    /// The target's own runtime.
    case native
    /// An executor of the specification.
    case reference
    /// The target's own runtime on an emulated CPU.
    case emulated
    /// PyTorch computed what an artifact is to compute.
    case simulated
}

/// How far an artifact that ran was from its float model, on the same images.
public struct DriftRow: Codable, Equatable, Sendable, Checked {
    /// A share of images with its 95% interval, all in 0 to 1.
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

    /// Images that only one of two models got right, and how likely such an imbalance is by chance.
    public struct McNemar: Codable, Equatable, Sendable, Checked {
        /// Images that only the float model got right.
        public var lost: Int
        /// Images that only the artifact got right.
        public var gained: Int
        /// Exact, two-sided.
        public var pValue: Double

        func check() throws(Fault) {
            try check(lost, "lost")
            try check(gained, "gained")
            try check(pValue, "p_value", in: 0...1)
        }
    }

    /// The CPU that was emulated.
    public struct EmulatedCPU: Codable, Equatable, Sendable {
        /// Its architecture.
        public var arch: String
        /// Its name.
        public var name: String
        /// Those by which XNNPACK chooses kernels.
        public var features: [String]
    }

    /// The artifact's file name.
    public var artifact: String
    /// "coreml", "executorch" or "onnx", or what else was compared.
    public var target: String
    /// Of the artifact.
    public var precision: String
    /// What ran it.
    public var how: How
    /// The runtime's name and version.
    public var engine: String
    /// Nil where there was no artifact.
    public var artifactSha256: String?
    /// Nil where it was the machine's own.
    public var cpu: EmulatedCPU?
    /// How many both models saw.
    public var images: Int
    /// Files that could not be decoded.
    @Default<Zero> public var skipped: Int
    /// Nil without labels, as all of the following four.
    public var top1: Share?
    /// Nil also with five classes or fewer.
    public var top5: Share?
    /// Of the float model.
    public var floatTop1: Share?
    /// Of the float model.
    public var floatTop5: Share?
    /// Points lost against the float model.
    public var top1Drop: Double?
    /// Its paired 95% interval.
    public var top1DropInterval: [Double]?
    /// Of top-1 against the float model.
    public var mcnemar: McNemar?
    /// The share of images on which both choose the same class.
    public var agreement: Share
    /// Of the logits; infinite where they are equal.
    public var sqnrDb: Double
    /// The largest difference of any logit.
    public var maxAbsError: Double
    /// Of the artifact's distribution of classes from the float model's, in nats.
    public var meanKl: Double

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
    }
}

/// A model to measure, on certain processors.
public struct Contestant: Sendable {
    /// The artifact's file name.
    public var name: String
    /// What a person reads where it is measured, or fails; its name unless said.
    public var title: String
    /// As "Core ML" or "ExecuTorch 1.4.1 (XNNPACK)".
    public var engine: String
    /// Of the artifact.
    public var precision: String
    /// The processors that it may use.
    public var compute: DeviceReport.Compute
    /// Of this contestant; nil where the engine decides, as Core ML does, and ExecuTorch in Swift.
    public var threads: Int?
    /// Nil where it is no artifact of ours.
    public var artifactSha256: String?
    /// On disk.
    public var sizeBytes: Int?
    /// The version of the `shvit-mobile` that made it; nil where it is no artifact of ours.
    public var exporter: String?
    /// How far it was from its float model where it was made.
    public var drift: DriftRow?
    /// What it is loaded from.
    public var source: any ClassifierSource
    /// The picture that it is given, as `Preprocessor.pixels(of:)` makes it.
    public var pixels: RGBImage
    /// Its goldens, which it answers before it is measured; nil where there are none.
    public var goldens: GoldenChecker?

    /// Any model.
    public init(
        name: String, engine: String, precision: String, compute: DeviceReport.Compute = .cpu, threads: Int? = nil,
        source: any ClassifierSource, pixels: RGBImage
    ) {
        self.name = name
        title = name
        self.engine = engine
        self.precision = precision
        self.compute = compute
        self.threads = threads
        self.source = source
        self.pixels = pixels
    }

    /// An embedded one; what is known of it comes from its manifest.
    public init(
        _ model: EmbeddedModel, engine: String, compute: DeviceReport.Compute, threads: Int? = nil,
        source: any ClassifierSource, pixels: RGBImage, goldens: GoldenChecker? = nil
    ) {
        let manifest = model.manifest
        self.init(
            name: manifest.artifact.name, engine: engine, precision: manifest.precision.rawValue, compute: compute,
            threads: threads, source: source, pixels: pixels)
        artifactSha256 = manifest.artifact.sha256
        sizeBytes = manifest.artifact.bytes
        exporter = manifest.versions["shvit-mobile"]
        drift = manifest.drift
        self.goldens = goldens
    }
}

/// A model to measure on certain processors.
public struct Contestant: Sendable {
    /// The artifact's file name.
    public var name: String
    /// The name in progress and errors (default: `name`).
    public var title: String
    /// The runtime, such as "Core ML" or "ExecuTorch 1.4.1 (XNNPACK)".
    public var engine: String
    /// The artifact's precision.
    public var precision: String
    /// The processors that the model may use.
    public var compute: DeviceReport.Compute
    /// The number of threads; nil if the engine chooses it, as Core ML does, and ExecuTorch in Swift.
    public var threads: Int?
    /// The artifact's SHA-256; nil if shvit-mobile did not export it.
    public var artifactSha256: String?
    /// The artifact's size on disk, in bytes.
    public var sizeBytes: Int?
    /// The version of `shvit-mobile` that exported the artifact; nil if it did not.
    public var exporter: String?
    /// The drift from the float model, measured at export.
    public var drift: DriftRow?
    /// The source that loads the model.
    public var source: any RunnerSource
    /// The picture for all inferences: the output of `Preprocessor.pixels(of:)`.
    public var pixels: RGBImage
    /// The picture for whole frames; nil to measure inferences only.
    public var frame: FrameSource?
    /// The golden check that runs before the measurement; nil without goldens.
    public var goldens: GoldenChecker?

    /// Describes any model.
    public init(
        name: String, engine: String, precision: String, compute: DeviceReport.Compute = .cpu, threads: Int? = nil,
        source: any RunnerSource, pixels: RGBImage
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

    /// Describes an embedded model with the values in its manifest.
    public init(
        _ model: EmbeddedModel, engine: String, compute: DeviceReport.Compute, threads: Int? = nil,
        source: any RunnerSource, pixels: RGBImage, goldens: GoldenChecker? = nil
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

/// What was measured, where, and how: what an app hands back to `shvit-mobile`.
public struct DeviceReport: DocumentContent, Checked {
    /// The processors that an inference may use.
    public enum Compute: String, Codable, Sendable, CaseIterable {
        case cpu
        case cpuAndGPU = "cpu-and-gpu"
        case cpuAndNeuralEngine = "cpu-and-neural-engine"
        case all
    }

    /// How hot a phone says it is.
    public enum ThermalState: String, Codable, Sendable, CaseIterable {
        case nominal, fair, serious, critical
    }

    /// Where it ran.
    public struct Device: Codable, Equatable, Sendable, Checked {
        /// A computer, or what an app measures.
        public enum Kind: String, Codable, Sendable, CaseIterable {
            case host, phone
        }

        /// A phone, where an app writes it.
        public var kind: Kind
        /// The maker's code of the phone, as "iPhone16,1".
        public var model: String
        /// The operating system and its version.
        public var system: String
        /// Processors that could be used.
        public var cores: Int
        /// Of the machine; nil where the system does not tell.
        public var memoryBytes: Int?
        /// What people call it, as "iPhone 15 Pro".
        public var name: String?

        /// A device.
        public init(
            kind: Kind = .phone, model: String, system: String, cores: Int, memoryBytes: Int? = nil, name: String? = nil
        ) {
            self.kind = kind
            self.model = model
            self.system = system
            self.cores = cores
            self.memoryBytes = memoryBytes
            self.name = name
        }

        func check() throws(Fault) {
            try check(memoryBytes, "memory_bytes")
        }
    }

    /// How hot the phone was at a moment.
    public struct ThermalSample: Codable, Equatable, Sendable, Checked {
        /// Since the measurement began.
        public var seconds: Double
        /// As the system tells it.
        public var state: ThermalState
        /// Android's forecast; nil here.
        public var headroom: Double?

        /// A sample.
        public init(seconds: Double, state: ThermalState, headroom: Double? = nil) {
            self.seconds = seconds
            self.state = state
            self.headroom = headroom
        }

        func check() throws(Fault) {
            try check(seconds, "seconds")
        }
    }

    /// What the phone was like while it measured; nil where the system does not tell.
    public struct Conditions: Codable, Equatable, Sendable, Checked {
        /// Whether a power-saving mode was on.
        public var lowPower: Bool?
        /// The charge, 0 to 1.
        public var battery: Double?
        /// Whether it was plugged in.
        public var charging: Bool?
        /// Before, during and after, in the order of time.
        @Default<EmptyList<ThermalSample>> public var thermal: [ThermalSample]

        /// Conditions of which nothing has to be known.
        public init(
            lowPower: Bool? = nil, battery: Double? = nil, charging: Bool? = nil, thermal: [ThermalSample] = []
        ) {
            self.lowPower = lowPower
            self.battery = battery
            self.charging = charging
            self.thermal = thermal
        }

        func check() throws(Fault) {
            try check(battery, "battery", in: 0...1)
            try check(thermal, "thermal")
        }
    }

    /// How it was measured.
    public struct Settings: Codable, Equatable, Sendable, Checked {
        /// Of each engine; nil where engines decide on their own, as Core ML does, and ExecuTorch in Swift.
        public var threads: Int?
        /// Images an inference.
        public var batch: Int
        /// How often each contestant had its turn.
        public var rounds: Int
        /// Inferences at the beginning of each turn that do not count.
        public var warmUp: Int
        /// Inferences of each turn that do.
        public var iterations: Int
        /// The only processors used; any if empty.
        @Default<EmptyList<Int>> public var cpus: [Int]
        /// Of the order in each round.
        @Default<Zero> public var seed: Int

        /// Settings of one image an inference.
        public init(threads: Int? = nil, batch: Int = 1, rounds: Int = 1, warmUp: Int, iterations: Int) {
            self.threads = threads
            self.batch = batch
            self.rounds = rounds
            self.warmUp = warmUp
            self.iterations = iterations
        }

        func check() throws(Fault) {
            try check(threads, "threads", least: 1)
            try check(batch, "batch", least: 1)
            try check(rounds, "rounds", least: 1)
            try check(warmUp, "warm_up")
            try check(iterations, "iterations", least: 1)
        }
    }

    /// The most arithmetic that any library reached; computers measure it.
    public struct Roof: Codable, Equatable, Sendable {
        /// Billions of operations a second.
        public var gops: Double
        /// Which product of which library.
        public var reachedBy: String
    }

    /// A stretch of a sustained run.
    public struct Window: Codable, Equatable, Sendable, Checked {
        /// Since the run began.
        public var startS: Double
        /// Inferences in it.
        public var samples: Int
        /// Their median, in milliseconds.
        public var p50: Double
        /// How hot the phone was at its end.
        public var thermal: ThermalState?

        /// A stretch.
        public init(startS: Double, samples: Int, p50: Double, thermal: ThermalState? = nil) {
            self.startS = startS
            self.samples = samples
            self.p50 = p50
            self.thermal = thermal
        }

        func check() throws(Fault) {
            try check(startS, "start_s")
            try check(samples, "samples", least: 1)
            try check(p50, "p50")
        }
    }

    /// The goldens as the device answered them: preprocessing apart from inference.
    public struct GoldenCheck: Codable, Equatable, Sendable, Checked {
        /// How many goldens.
        public var images: Int
        /// Whether the device's own pixels are near enough to the goldens'.
        public var preprocessingPassed: Bool
        /// Mean absolute difference of the worst image, in steps of 0 to 255.
        public var pixelsDifference: Double
        /// Whether the artifact, given the goldens' pixels, gives the goldens' logits.
        public var inferencePassed: Bool
        /// Of any logit.
        public var largestDifference: Double
        /// What the goldens allow.
        public var tolerance: Double
        /// Of the device's logits against the goldens'; infinite where they are equal.
        public var sqnrDb: Double
        /// Images on which both choose the same class.
        public var sameClass: Int

        /// Whether both halves passed.
        public var passed: Bool { preprocessingPassed && inferencePassed }

        func check() throws(Fault) {
            try check(images, "images", least: 1)
            try check(pixelsDifference, "pixels_difference")
            try check(largestDifference, "largest_difference")
            try check(tolerance, "tolerance")
            try check(sameClass, "same_class")
        }
    }

    /// One contestant.
    public struct Result: Codable, Equatable, Sendable, Checked {
        /// On the processor alone.
        public enum OnCPU: DefaultValue {
            /// On the processor alone.
            public static let value = Compute.cpu
        }

        /// The artifact's file name.
        public var name: String
        /// As "Core ML" or "ExecuTorch 1.4.1 (XNNPACK)".
        public var engine: String
        /// Of the artifact.
        public var precision: String
        /// Nil where it is no artifact of ours.
        public var artifactSha256: String?
        /// The processors that it may use.
        @Default<OnCPU> public var compute: Compute
        /// Of this contestant; nil where they are the settings', or the engine decided if those have none either.
        public var threads: Int?
        /// On the first launch, where the system compiles the model.
        public var compileMs: Double?
        /// From the file, or the compiled model, to a program that is ready.
        public var loadMs: Double
        /// The first inference.
        public var firstMs: Double
        /// Of one inference, over all rounds.
        public var latency: Latency
        /// Every inference that counts, a list a round.
        public var samplesMs: [[Double]]
        /// Of a sustained run, in the order of time.
        @Default<EmptyList<Window>> public var windows: [Window]
        /// Of the first contestant's latency to this one's.
        public var ratio: Ratio?
        /// What the app grew by, at most, while the model loaded and ran once.
        public var peakMemoryBytes: Int?
        /// The same during an inference once it is loaded.
        public var runningMemoryBytes: Int?
        /// On disk.
        public var sizeBytes: Int?
        /// Multiply-adds of one image.
        public var macs: Int?
        /// Of the roof of its precision.
        public var roofShare: Double?
        /// Operators by the processor that runs them.
        public var placement: [String: Int]?
        /// The goldens as the device answered them.
        public var golden: GoldenCheck?
        /// How far its logits were from the float model's, when its export was validated.
        public var drift: DriftRow?

        /// A contestant that was measured; what else is known of it is set afterwards.
        public init(
            name: String, engine: String, precision: String, compute: Compute = .cpu, loadMs: Double, firstMs: Double,
            latency: Latency, samplesMs: [[Double]]
        ) {
            self.name = name
            self.engine = engine
            self.precision = precision
            self.compute = compute
            self.loadMs = loadMs
            self.firstMs = firstMs
            self.latency = latency
            self.samplesMs = samplesMs
        }

        func check() throws(Fault) {
            try check(sha256: artifactSha256, "artifact_sha256")
            try check(threads, "threads", least: 1)
            try check(compileMs, "compile_ms")
            try check(loadMs, "load_ms")
            try check(firstMs, "first_ms")
            try check(latency, "latency")
            try check(count: samplesMs.count, "samples_ms", in: 1...)
            for (round, samples) in samplesMs.enumerated() {
                for (index, sample) in samples.enumerated() {
                    try check(sample, "samples_ms.\(round).\(index)")
                }
            }
            try check(windows, "windows")
            try check(peakMemoryBytes, "peak_memory_bytes")
            try check(runningMemoryBytes, "running_memory_bytes")
            try check(sizeBytes, "size_bytes")
            try check(macs, "macs")
            try check(roofShare, "roof_share")
            for (processor, operators) in placement ?? [:] {
                try check(operators, "placement.\(processor)")
            }
            try check(golden, "golden")
            try check(drift, "drift")
        }
    }

    public static let kind = "device_report"
    public static let title = "a device report"

    public var schemaVersion: String
    public var kind: String
    /// When, in ISO 8601 with the offset from UTC.
    public var created: String
    /// What measured, with its version and build.
    public var app: String
    /// Made up so that readers can be tested: nothing in it was measured.
    @Default<No> public var fixture: Bool
    /// Of all that took part.
    public var versions: [String: String]
    /// Where it ran.
    public var device: Device
    /// How it was measured.
    public var settings: Settings
    /// Nil on a computer.
    public var conditions: Conditions?
    /// By precision.
    @Default<EmptyMap<Roof>> public var roofs: [String: Roof]
    /// At least one.
    public var results: [Result]

    /// A report of our own version.
    public init(
        created: String, app: String, versions: [String: String], device: Device, settings: Settings,
        conditions: Conditions?, results: [Result]
    ) {
        schemaVersion = "\(version)"
        kind = Self.kind
        self.created = created
        self.app = app
        self.versions = versions
        self.device = device
        self.settings = settings
        self.conditions = conditions
        self.results = results
    }

    func check() throws(Fault) {
        try check(device, "device")
        try check(settings, "settings")
        try check(conditions, "conditions")
        try check(count: results.count, "results", in: 1...)
        try check(results, "results")
    }
}

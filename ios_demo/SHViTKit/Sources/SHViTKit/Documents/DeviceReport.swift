/// The measurements of a benchmark, where they were taken, and how. `shvit-mobile devices` reads it.
public struct DeviceReport: DocumentContent, Checked {
    /// The processors that an inference may use.
    public enum Compute: String, Word {
        case cpu
        case cpuAndGPU = "cpu-and-gpu"
        case cpuAndNeuralEngine = "cpu-and-neural-engine"
        case all
    }

    /// The system's thermal state, with Apple's names.
    public enum ThermalState: String, Word {
        case nominal, fair, serious, critical
    }

    /// What a sample covers.
    public enum InferenceTiming: String, Word {
        /// The call of the runtime alone.
        case runtimeCall = "runtime-call"
        /// The call with the making of its input and the reading of its output, as the iOS app timed it before 1.1.
        case tensorAndRuntimeCall = "tensor-and-runtime-call"
    }

    /// What a run was told to accept.
    public enum Override: String, Word {
        /// A power-saving mode.
        case lowPower = "low-power"
        /// A phone that is warm before it starts.
        case heat
    }

    /// The device that was measured.
    public struct Device: Codable, Equatable, Sendable, Checked {
        /// A computer, or a phone.
        public enum Kind: String, Word {
            case host, phone
        }

        /// The kind of device; an app writes `phone`.
        public var kind: Kind
        /// The model code, such as "iPhone16,1".
        public var model: String
        /// The operating system and its version.
        public var system: String
        /// The number of usable processor cores.
        public var cores: Int
        /// The device's memory in bytes; nil if unknown.
        public var memoryBytes: Int?
        /// The product name, such as "iPhone 15 Pro".
        public var name: String?

        /// Creates a device.
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

    /// The thermal state at a moment.
    public struct ThermalSample: Codable, Equatable, Sendable, Checked {
        /// Seconds since the measurement began.
        public var seconds: Double
        /// The thermal state that the system reports.
        public var state: ThermalState
        /// Android's thermal headroom; nil on iOS.
        public var headroom: Double?

        /// Creates a sample.
        public init(seconds: Double, state: ThermalState, headroom: Double? = nil) {
            self.seconds = seconds
            self.state = state
            self.headroom = headroom
        }

        func check() throws(Fault) {
            try check(seconds, "seconds")
        }
    }

    /// The phone's conditions during the measurement; a value is nil if unknown.
    public struct Conditions: Codable, Equatable, Sendable, Checked {
        /// Whether a power-saving mode was on.
        public var lowPower: Bool?
        /// The battery charge, from 0 to 1.
        public var battery: Double?
        /// Whether the phone was plugged in.
        public var charging: Bool?
        /// The thermal states before, during and after the measurement, in order of time.
        @Default<EmptyList<ThermalSample>> public var thermal: [ThermalSample]
        /// How long the run waited for the phone to cool before it started, in seconds.
        public var waitedS: Double?
        /// Whether Android's sustained performance mode was on; nil on iOS, which has none.
        public var sustainedPerformance: Bool?

        /// Creates conditions. All values are optional.
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
            try check(waitedS, "waited_s")
            try check(thermal, "thermal")
        }
    }

    /// The picture that the preprocessing of `Result.stages` starts from.
    public struct FramePicture: Codable, Equatable, Sendable, Checked {
        /// A format in memory.
        public enum Format: String, Word {
            case bgra, rgba, rgb
            case yuv420 = "yuv-420"
        }

        /// The width in memory, in pixels.
        public var width: Int
        /// The height in memory, in pixels.
        public var height: Int
        /// The format in memory.
        public var format: Format
        /// How often it is turned clockwise by 90 degrees to be upright.
        @Default<Zero> public var quarterTurns: Int

        /// Creates a description of a picture.
        public init(width: Int, height: Int, format: Format, quarterTurns: Int = 0) {
            self.width = width
            self.height = height
            self.format = format
            self.quarterTurns = quarterTurns
        }

        func check() throws(Fault) {
            try check(width, "width", least: 1)
            try check(height, "height", least: 1)
            try check(quarterTurns, "quarter_turns")
        }
    }

    /// The settings of the benchmark.
    public struct Settings: Codable, Equatable, Sendable, Checked {
        /// The number of threads of each engine; nil if engines choose it, as Core ML does, and ExecuTorch in Swift.
        public var threads: Int?
        /// Images per inference.
        public var batch: Int
        /// The number of rounds.
        public var rounds: Int
        /// Warm-up inferences at the start of each round; of the shortest warm-up if that is a time.
        public var warmUp: Int
        /// Measured inferences per round; of the shortest turn if turns are a time.
        public var iterations: Int
        /// The CPU cores that were used; any if empty.
        @Default<EmptyList<Int>> public var cpus: [Int]
        /// The seed of the order in each round.
        @Default<Zero> public var seed: Int
        /// What a sample covers; nil before version 1.1.
        public var timed: InferenceTiming?
        /// The length of a warm-up in seconds; nil if it is a number of inferences.
        public var warmUpS: Double?
        /// The length of a turn in seconds; nil if it is a number of inferences.
        public var turnS: Double?
        /// The length of the whole frames after each turn, in seconds.
        public var framesS: Double?
        /// The picture of these frames.
        public var picture: FramePicture?
        /// What the run was told to accept; nil for nothing.
        public var overrides: [Override]?

        /// Creates settings, with one image per inference.
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
            try check(warmUpS, "warm_up_s")
            try check(turnS, "turn_s")
            try check(framesS, "frames_s")
            try check(picture, "picture")
        }
    }

    /// The highest arithmetic throughput that any library reached; only computers measure it.
    public struct Roof: Codable, Equatable, Sendable {
        /// Billions of operations per second.
        public var gops: Double
        /// The matrix product and the library that reached it.
        public var reachedBy: String
    }

    /// A window of a sustained run.
    public struct Window: Codable, Equatable, Sendable, Checked {
        /// Seconds since the run began.
        public var startS: Double
        /// The number of inferences in the window.
        public var samples: Int
        /// The median latency, in milliseconds.
        public var p50: Double
        /// The thermal state at the end of the window.
        public var thermal: ThermalState?

        /// Creates a window.
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

    /// The result of a golden check: preprocessing and inference.
    public struct GoldenCheck: Codable, Equatable, Sendable, Checked {
        /// The number of goldens.
        public var images: Int
        /// Whether the device's pixels are within the tolerance.
        public var preprocessingPassed: Bool
        /// The mean absolute difference of the worst image, from 0 to 255.
        public var pixelsDifference: Double
        /// Whether the logits, or the values of maps, for the stored pixels are within the tolerance.
        public var inferencePassed: Bool
        /// The largest difference of any of them; of several maps, of the one that is furthest beyond its tolerance.
        public var largestDifference: Double
        /// The largest difference that the goldens allow there.
        public var tolerance: Double
        /// The SQNR of the device's logits in dB, or the lowest of a map; infinite if they are equal.
        public var sqnrDb: Double
        /// The number of images on which both choose the same class; nil for maps.
        public var sameClass: Int?

        /// Whether preprocessing and inference passed.
        public var passed: Bool { preprocessingPassed && inferencePassed }

        func check() throws(Fault) {
            try check(images, "images", least: 1)
            try check(pixelsDifference, "pixels_difference")
            try check(largestDifference, "largest_difference")
            try check(tolerance, "tolerance")
            try check(sameClass, "same_class")
        }
    }

    /// The measurements of one contestant.
    public struct Result: Codable, Equatable, Sendable, Checked {
        /// The default compute units: CPU.
        public enum OnCPU: DefaultValue {
            /// CPU.
            public static let value = Compute.cpu
        }

        /// The artifact's file name.
        public var name: String
        /// The runtime, such as "Core ML" or "ExecuTorch 1.4.1 (XNNPACK)".
        public var engine: String
        /// The artifact's precision.
        public var precision: String
        /// The artifact's SHA-256; nil if shvit-mobile did not export it.
        public var artifactSha256: String?
        /// The processors that the contestant may use.
        @Default<OnCPU> public var compute: Compute
        /// The number of threads, if it differs from the settings; nil also if the engine chooses it.
        public var threads: Int?
        /// The duration of compilation on the first launch, in milliseconds.
        public var compileMs: Double?
        /// The duration of loading the file or the compiled model, in milliseconds.
        public var loadMs: Double
        /// The latency of the first inference, in milliseconds.
        public var firstMs: Double
        /// The latency of an inference, over all rounds.
        public var latency: Latency
        /// Every measured inference in milliseconds, one list per round. `Settings.timed` says what a sample covers.
        public var samplesMs: [[Double]]
        /// The stages of whole frames; nil on a computer, and before version 1.1.
        public var stages: Stages?
        /// The windows of the sustained run, in order of time.
        @Default<EmptyList<Window>> public var windows: [Window]
        /// The ratio of the first contestant's latency to this one's.
        public var ratio: Ratio?
        /// The peak growth of the app's memory while the model loaded and ran once, in bytes.
        public var peakMemoryBytes: Int?
        /// The peak growth of the app's memory during inferences after loading, in bytes.
        public var runningMemoryBytes: Int?
        /// The artifact's size on disk, in bytes.
        public var sizeBytes: Int?
        /// Multiply-adds per image.
        public var macs: Int?
        /// The share of the roofline of the artifact's precision, from 0 to 1.
        public var roofShare: Double?
        /// The number of operators that each processor runs.
        public var placement: [String: Int]?
        /// The result of the golden check.
        public var golden: GoldenCheck?
        /// The drift from the float model, measured when the artifact was validated.
        public var drift: DriftRow?

        /// Creates a result. Set the remaining fields afterwards.
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
            try check(stages, "stages")
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

    /// A contestant that could not be measured.
    public struct FailedContestant: Codable, Equatable, Sendable {
        /// The default compute units: CPU.
        public typealias OnCPU = Result.OnCPU

        /// The artifact's file name.
        public var name: String
        /// The runtime.
        public var engine: String
        /// The processors that the contestant may use.
        @Default<OnCPU> public var compute: Compute
        /// The number of threads, if it was chosen.
        public var threads: Int?
        /// What was wrong, as text.
        public var error: String

        /// Creates a failure.
        public init(name: String, engine: String, compute: Compute = .cpu, threads: Int? = nil, error: String) {
            self.name = name
            self.engine = engine
            self.compute = compute
            self.threads = threads
            self.error = error
        }
    }

    public static let kind = "device_report"
    public static let newestVersion = "1.1"
    public static let title = "a device report"

    public var schemaVersion: String
    public var kind: String
    /// The time of the measurement, in ISO 8601 with the offset from UTC.
    public var created: String
    /// The app that measured, with its version and build.
    public var app: String
    /// The identity that the computer which started the run gave it; nil for a run started by hand.
    public var runId: String?
    /// Whether the report is a test fixture, whose figures were not measured.
    @Default<No> public var fixture: Bool
    /// The versions of all software that took part.
    public var versions: [String: String]
    /// The device that was measured.
    public var device: Device
    /// The settings of the benchmark.
    public var settings: Settings
    /// The phone's conditions; nil on a computer.
    public var conditions: Conditions?
    /// The rooflines by precision.
    @Default<EmptyMap<Roof>> public var roofs: [String: Roof]
    /// The results; at least one.
    public var results: [Result]
    /// The contestants that could not be measured; nil without one.
    public var failures: [FailedContestant]?

    /// Creates a report of the current version.
    public init(
        created: String, app: String, versions: [String: String], device: Device, settings: Settings,
        conditions: Conditions?, results: [Result]
    ) {
        schemaVersion = Self.newestVersion
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
        let isTimed = SchemaVersion(schemaVersion).map { $0 >= SchemaVersion(major: 1, minor: 1) } ?? false
        for (index, result) in results.enumerated() {
            do {
                if isTimed { try result.latency.checkOfTimedReport() } else { try result.latency.checkOfOldReport() }
            } catch { throw error.within("results.\(index).latency") }
        }
        if isTimed { try checkConditions() }
    }

    /// Throws if something contradicts the settings.
    private func checkConditions() throws(Fault) {
        if settings.timed == nil { throw Fault("settings.timed", "is missing") }
        let overrides = settings.overrides ?? []
        if conditions?.lowPower == true, !overrides.contains(.lowPower) {
            throw Fault("conditions.low_power", "is true, and settings.overrides does not allow it")
        }
        if let before = conditions?.thermal.first?.state, before != .nominal, !overrides.contains(.heat) {
            throw Fault("conditions.thermal.0.state", "is \(before), and settings.overrides does not allow it")
        }
    }
}

/// The thermal states since the log was created.
struct ThermalLog {
    private let probe: any DeviceProbe
    private let stopwatch: Stopwatch
    private let begun: Duration
    private(set) var samples: [DeviceReport.ThermalSample] = []

    /// Creates a log that begins now, with the conditions that were just read.
    init(probe: any DeviceProbe, stopwatch: Stopwatch, first: DeviceReading) {
        self.probe = probe
        self.stopwatch = stopwatch
        begun = stopwatch.now()
        if let state = first.thermal { samples.append(.init(seconds: 0, state: state)) }
    }

    /// Returns the device's current conditions and records the thermal state.
    @discardableResult
    mutating func read() async -> DeviceReading {
        let reading = await probe.reading()
        if let state = reading.thermal {
            samples.append(.init(seconds: (stopwatch.now() - begun).seconds, state: state))
        }
        return reading
    }
}

/// The app's memory growth since the log was created, at the recorded moments.
struct MemoryLog {
    private let probe: any DeviceProbe
    private let before: Int?
    private var most: Int?

    init(probe: any DeviceProbe) {
        self.probe = probe
        before = probe.footprint()
    }

    mutating func note() {
        if let now = probe.footprint() { most = max(most ?? now, now) }
    }

    /// Drops all records.
    mutating func forget() {
        most = nil
    }

    /// The peak growth in bytes; nil if unknown.
    var growth: Int? {
        guard let before, let most else { return nil }
        return max(most - before, 0)
    }
}

/// The windows of a sustained run.
struct Windows {
    private let length: Double
    private var index = 0
    private var samples: [Double] = []
    private(set) var closed: [DeviceReport.Window] = []

    init(length: Double) {
        self.length = length
    }

    /// Returns whether an inference that begins now belongs to a later window.
    func isOver(at seconds: Double) -> Bool {
        Int(seconds / length) > index
    }

    mutating func add(_ sample: Double, at seconds: Double) {
        index = Int(seconds / length)
        samples.append(sample)
    }

    /// Ends the current window. A window without an inference is dropped.
    mutating func close(thermal: DeviceReport.ThermalState?) {
        if let p50 = percentile(50, of: samples) {
            closed.append(.init(startS: Double(index) * length, samples: samples.count, p50: p50, thermal: thermal))
        }
        samples = []
    }
}

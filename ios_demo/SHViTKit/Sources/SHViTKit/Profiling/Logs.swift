/// How hot the device was, moment by moment since it was made.
struct ThermalLog {
    private let probe: any DeviceProbe
    private let stopwatch: Stopwatch
    private let begun: Duration
    private(set) var samples: [DeviceReport.ThermalSample] = []

    init(probe: any DeviceProbe, stopwatch: Stopwatch) {
        self.probe = probe
        self.stopwatch = stopwatch
        begun = stopwatch.now()
    }

    /// How the device is now, which is noted too.
    @discardableResult
    mutating func read() async -> DeviceReading {
        let reading = await probe.reading()
        if let state = reading.thermal {
            samples.append(.init(seconds: (stopwatch.now() - begun).seconds, state: state))
        }
        return reading
    }
}

/// How far the app's memory has grown since it was made, at the moments at which it is noted.
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

    /// What was noted no longer counts.
    mutating func forget() {
        most = nil
    }

    /// At most, in bytes; nil where the system does not tell.
    var growth: Int? {
        guard let before, let most else { return nil }
        return max(most - before, 0)
    }
}

/// Stretches of a sustained run, one after the other.
struct Windows {
    private let length: Double
    private var index = 0
    private var samples: [Double] = []
    private(set) var closed: [DeviceReport.Window] = []

    init(length: Double) {
        self.length = length
    }

    /// Whether an inference that begins now belongs to a later window.
    func isOver(at seconds: Double) -> Bool {
        Int(seconds / length) > index
    }

    mutating func add(_ sample: Double, at seconds: Double) {
        index = Int(seconds / length)
        samples.append(sample)
    }

    /// Ends the window under way; one without an inference is left out.
    mutating func close(thermal: DeviceReport.ThermalState?) {
        if let p50 = percentile(50, of: samples) {
            closed.append(.init(startS: Double(index) * length, samples: samples.count, p50: p50, thermal: thermal))
        }
        samples = []
    }
}

import Foundation

/// Measures models on the device it runs on, one after the other, and writes the device report.
///
/// It stops where its task is cancelled: between two inferences, with `CancellationError` and no report.
public struct Profiler: Sendable {
    /// How long a model is measured.
    public enum Extent: Equatable, Sendable {
        /// So many inferences.
        case iterations(Int)
        /// A sustained run, at least one inference; its medians are taken window by window too.
        case seconds(Double)
    }

    /// What is to be done.
    public struct Plan: Equatable, Sendable {
        /// Inferences that do not count, before those that do.
        public var warmUp: Int
        /// How long.
        public var extent: Extent
        /// Of a sustained run, in seconds.
        public var window: Double

        /// - Throws: `SHViTError` where nothing would be measured.
        public init(warmUp: Int = 5, extent: Extent = .iterations(200), window: Double = 10) throws(SHViTError) {
            let isPositive =
                switch extent {
                case .iterations(let count): count > 0
                case .seconds(let seconds): seconds > 0 && seconds.isFinite
                }
            guard warmUp >= 0, isPositive, window > 0 else {
                throw SHViTError(
                    "Nothing can be measured with \(extent), \(warmUp) to warm up, and windows of \(window) s.",
                    why: "All of them are above 0; only the warm-up may be 0.")
            }
            self.warmUp = warmUp
            self.extent = extent
            self.window = window
        }
    }

    /// How far a measurement is.
    public struct Progress: Equatable, Sendable {
        /// Which model is measured.
        public let contestant: String
        /// Of all that is to be done, 0 to 1.
        public let fraction: Double
    }

    /// What the report says of the app and the device.
    public struct About: Sendable {
        /// With its version and build.
        public var app: String
        /// Of all that takes part.
        public var versions: [String: String]
        /// Where it runs.
        public var device: DeviceReport.Device
        /// When.
        public var created: Date
        /// In which that is told.
        public var timeZone: TimeZone

        /// What is measured here and now.
        public init(
            app: String, versions: [String: String], device: DeviceReport.Device, created: Date = .now,
            timeZone: TimeZone = .current
        ) {
            self.app = app
            self.versions = versions
            self.device = device
            self.created = created
            self.timeZone = timeZone
        }
    }

    /// A report of all that could be measured, and what could not be.
    public struct Outcome: Sendable {
        /// Nil where nothing could be measured.
        public let report: DeviceReport?
        /// The name of each model that failed, with the reason.
        public let failures: [(name: String, reason: String)]
    }

    private let plan: Plan
    private let probe: any DeviceProbe
    private let stopwatch: Stopwatch

    /// - Parameters:
    ///   - plan: what is to be done.
    ///   - probe: what the device tells of itself.
    ///   - stopwatch: what times are taken with.
    public init(_ plan: Plan, probe: any DeviceProbe, stopwatch: Stopwatch = .monotonic) {
        self.plan = plan
        self.probe = probe
        self.stopwatch = stopwatch
    }

    /// Measures all contestants; one that fails does not stop the others.
    ///
    /// - Parameters:
    ///   - contestants: in the order in which they are measured.
    ///   - about: what the report says of the app and the device.
    ///   - progress: told between inferences, never within one.
    /// - Throws: `CancellationError` alone.
    public func measure(
        _ contestants: [Contestant], about: About, progress: @Sendable (Progress) -> Void = { _ in }
    ) async throws -> Outcome {
        var log = ThermalLog(probe: probe, stopwatch: stopwatch)
        let before = await log.read()
        var (results, failures): ([DeviceReport.Result], [(String, String)]) = ([], [])
        for (index, contestant) in contestants.enumerated() {
            do {
                let result = try await measure(contestant, log: &log) { share in
                    let fraction = (Double(index) + share) / Double(contestants.count)
                    progress(Progress(contestant: contestant.name, fraction: fraction))
                }
                results.append(result)
            } catch let error as CancellationError {
                throw error
            } catch {
                failures.append((contestant.name, (error as? SHViTError)?.description ?? error.localizedDescription))
            }
            await log.read()
        }
        return Outcome(report: report(of: results, about: about, before: before, log: log), failures: failures)
    }

    /// Loads one contestant, has it answer its goldens, and times it.
    private func measure(
        _ contestant: Contestant, log: inout ThermalLog, progress: (Double) -> Void
    ) async throws -> DeviceReport.Result {
        try Task.checkCancellation()
        var memory = MemoryLog(probe: probe)
        let (compiled, compileMs) = try await timed("Compile") { try await contestant.source.compile() }
        let (classifier, loadMs) = try await timed("Load") { try await contestant.source.load() }
        memory.note()
        let firstMs = try await inference(of: classifier, on: contestant)
        memory.note()
        let peak = memory.growth
        memory.forget()
        let golden = try await interval("Goldens") { try await contestant.goldens?.check(classifier) }

        for _ in 0..<plan.warmUp {
            try Task.checkCancellation()
            _ = try await inference(of: classifier, on: contestant)
        }
        let run = try await run(classifier, on: contestant, log: &log, memory: &memory, progress: progress)
        // Last, since a plan is memory and heat; and without one, what was measured still counts.
        let placement = try? await contestant.source.placement()

        guard let latency = Latency(of: run.samples) else {
            throw SHViTError("\(contestant.name) was not measured.", why: "There was no inference.")
        }
        var result = DeviceReport.Result(
            name: contestant.name, engine: contestant.engine, precision: contestant.precision,
            compute: contestant.compute, loadMs: loadMs, firstMs: firstMs, latency: latency, samplesMs: [run.samples])
        result.artifactSha256 = contestant.artifactSha256
        result.threads = contestant.threads
        result.compileMs = compiled ? compileMs : nil
        result.windows = run.windows
        result.peakMemoryBytes = peak
        result.runningMemoryBytes = memory.growth
        result.sizeBytes = contestant.sizeBytes
        result.placement = placement ?? nil
        result.golden = golden?.record
        result.drift = contestant.drift
        return result
    }

    /// The inferences that count, in milliseconds, and the windows of a sustained run.
    private func run(
        _ classifier: any Classifier, on contestant: Contestant, log: inout ThermalLog, memory: inout MemoryLog,
        progress: (Double) -> Void
    ) async throws -> (samples: [Double], windows: [DeviceReport.Window]) {
        let begun = stopwatch.now()
        var samples: [Double] = []
        var windows = Windows(length: plan.window)
        while true {
            let elapsed = (stopwatch.now() - begun).seconds
            let share = share(done: samples.count, seconds: elapsed)
            progress(min(share, 1))
            if share >= 1, !samples.isEmpty { break }
            try Task.checkCancellation()
            if windows.isOver(at: elapsed) {
                windows.close(thermal: await log.read().thermal)
            }
            let sample = try await inference(of: classifier, on: contestant)
            samples.append(sample)
            windows.add(sample, at: elapsed)
            memory.note()
        }
        guard case .seconds = plan.extent else { return (samples, []) }
        windows.close(thermal: await log.read().thermal)
        return (samples, windows.closed)
    }

    /// Of what one contestant has to do; 1 or more where it is done.
    private func share(done: Int, seconds: Double) -> Double {
        switch plan.extent {
        case .iterations(let count): Double(done) / Double(count)
        case .seconds(let length): seconds / length
        }
    }

    /// The milliseconds of one inference.
    private func inference(of classifier: any Classifier, on contestant: Contestant) async throws -> Double {
        try await timed("Inference") { try await classifier.logits(for: contestant.pixels) }.milliseconds
    }

    /// What some work gives and how long it takes; its interval in Instruments begins before and ends after that.
    private func timed<Value>(
        _ name: StaticString, _ body: () async throws -> Value
    ) async throws -> (value: Value, milliseconds: Double) {
        try await interval(name) {
            let begun = stopwatch.now()
            let value = try await body()
            return (value, (stopwatch.now() - begun).milliseconds)
        }
    }

    private func report(
        of results: [DeviceReport.Result], about: About, before: DeviceReading, log: ThermalLog
    ) -> DeviceReport? {
        guard let fewest = results.map(\.latency.samples).min() else { return nil }
        let conditions = DeviceReport.Conditions(
            lowPower: before.lowPower, battery: before.battery, charging: before.charging, thermal: log.samples)
        let created = Date.ISO8601FormatStyle(timeZoneSeparator: .colon, timeZone: about.timeZone)
        return DeviceReport(
            created: about.created.formatted(created), app: about.app, versions: about.versions, device: about.device,
            settings: DeviceReport.Settings(warmUp: plan.warmUp, iterations: fewest), conditions: conditions,
            results: results)
    }
}

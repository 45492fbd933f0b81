import Foundation

/// Measures models on the device in interleaved rounds and creates the device report.
///
/// A sample is the call of the runtime alone; whole frames are measured after each turn, stage by stage.
///
/// Cancelling the task stops the measurement between two inferences, with `CancellationError` and without a report.
public struct Profiler: Sendable {
    /// The progress of a measurement.
    public struct Progress: Equatable, Sendable {
        /// The title of the model being measured.
        public let contestant: String
        /// The share of all work that is done, from 0 to 1.
        public let fraction: Double
    }

    /// What the report says about the app and the device.
    public struct About: Sendable {
        /// The app's name, version and build.
        public var app: String
        /// The versions of the app's engines. Those of this package and of the exporter are added.
        public var versions: [String: String]
        /// The device that the app runs on.
        public var device: DeviceReport.Device
        /// The time of the measurement.
        public var created: Date
        /// The time zone in which the report gives the time.
        public var timeZone: TimeZone
        /// The identity of the run, if a computer started it.
        public var runId: String?

        /// Creates a description of this app, device and time.
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

    /// The report, and the models that could not be measured.
    public struct Outcome: Sendable {
        /// The report; nil if nothing could be measured.
        public let report: DeviceReport?
        /// The title of each failed model with the reason, which the report contains too.
        public let failures: [(title: String, reason: String)]
    }

    /// Waits; tests do not.
    public typealias Sleep = @Sendable (Duration) async throws -> Void

    private let plan: Plan
    private let probe: any DeviceProbe
    private let stopwatch: Stopwatch
    private let sleep: Sleep

    /// - Parameters:
    ///   - plan: The settings.
    ///   - probe: Reads the device's conditions.
    ///   - stopwatch: The clock that measures latencies.
    ///   - sleep: Waits while the phone cools before the measurement.
    public init(
        _ plan: Plan, probe: any DeviceProbe, stopwatch: Stopwatch = .monotonic,
        sleep: @escaping Sleep = { try await Task.sleep(for: $0) }
    ) {
        self.plan = plan
        self.probe = probe
        self.stopwatch = stopwatch
        self.sleep = sleep
    }

    /// Measures all contestants in interleaved rounds. A contestant that fails does not stop the others. All are loaded
    /// at the same time.
    ///
    /// - Parameters:
    ///   - contestants: The models, in the order in which they run in each round.
    ///   - about: What the report says about the app and the device.
    ///   - progress: Called between inferences.
    /// - Throws: `CancellationError`; `SHViTError.lowPowerMode` if that mode is on before or after the measurement, and
    ///   not allowed; `SHViTError.phoneTooWarm` if the phone is warm before it, and does not cool in time.
    public func measure(
        _ contestants: [Contestant], about: About, progress: @escaping @Sendable (Progress) -> Void = { _ in }
    ) async throws -> Outcome {
        let gate = StartGate(plan: plan, probe: probe, sleep: sleep)
        let (before, waited) = try await gate.enter {
            progress(Progress(contestant: "The phone cools", fraction: 0))
        }
        let race = Race(
            of: contestants, plan: plan, probe: probe, stopwatch: stopwatch, before: before, progress: progress)
        try await race.run()
        try await gate.leave()
        let failures = race.entries.compactMap { entry in
            entry.failure.map { (title: entry.contestant.title, reason: $0) }
        }
        return Outcome(report: report(of: race, about: about, before: before, waited: waited), failures: failures)
    }

    private func report(
        of race: Race, about: About, before: DeviceReading, waited: Double
    ) -> DeviceReport? {
        let results = race.entries.compactMap(\.result)
        // For turns of fixed duration, report the iterations of the shortest turn.
        guard let fewest = results.flatMap(\.samplesMs).map(\.count).min() else { return nil }
        var conditions = DeviceReport.Conditions(
            lowPower: before.lowPower, battery: before.battery, charging: before.charging,
            thermal: race.log.samples)
        conditions.waitedS = waited
        let measured = race.entries.filter { $0.failure == nil }
        var settings = DeviceReport.Settings(
            rounds: plan.rounds, warmUp: measured.map(\.warmUp).min() ?? 0, iterations: fewest)
        settings.timed = .runtimeCall
        (settings.warmUpS, settings.turnS, settings.framesS) = (plan.warmUp.duration, plan.turn.duration, plan.frames)
        settings.picture = measured.compactMap(\.contestant.frame?.picture).first
        settings.overrides = plan.overrides
        let created = Date.ISO8601FormatStyle(timeZoneSeparator: .colon, timeZone: about.timeZone)
        var report = DeviceReport(
            created: about.created.formatted(created), app: about.app,
            versions: versions(of: race, about: about),
            device: about.device,
            settings: settings, conditions: conditions, results: results)
        report.runId = about.runId
        let failures = race.entries.compactMap(\.failed)
        report.failures = failures.isEmpty ? nil : failures
        return report
    }

    /// Returns the versions of the app and of the tools that exported the artifacts; all of them if they differ.
    private func versions(of race: Race, about: About) -> [String: String] {
        let measured = race.entries.filter { $0.failure == nil }.map(\.contestant.exporter)
        let exporters = Set(measured.compactMap(\.self)).sorted().joined(separator: ", ")
        let ours = ["shvit-kit": SHViTKitVersion.text]
        let theirs = exporters.isEmpty ? [:] : ["shvit-mobile": exporters]
        return about.versions.merging(ours) { $1 }.merging(theirs) { $1 }
    }
}

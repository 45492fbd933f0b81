import Foundation

/// Measures models on the device it runs on, in turns, and writes the device report.
///
/// It stops where its task is cancelled: between two inferences, with `CancellationError` and no report.
public struct Profiler: Sendable {
    /// How far a measurement is.
    public struct Progress: Equatable, Sendable {
        /// The title of the model that is measured.
        public let contestant: String
        /// Of all that is to be done, 0 to 1.
        public let fraction: Double
    }

    /// What the report says of the app and the device.
    public struct About: Sendable {
        /// With its version and build.
        public var app: String
        /// Of the app's own parts, as the engines; those of this package and of the exporter are added.
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
        /// The title of each model that failed, with the reason; the report has nothing of it.
        public let failures: [(title: String, reason: String)]
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

    /// Measures all contestants, in turns; one that fails does not stop the others. All are loaded at a time.
    ///
    /// - Parameters:
    ///   - contestants: in the order of the turns in each round.
    ///   - about: what the report says of the app and the device.
    ///   - progress: told between inferences, never within one.
    /// - Throws: `CancellationError` alone.
    public func measure(
        _ contestants: [Contestant], about: About, progress: @escaping @Sendable (Progress) -> Void = { _ in }
    ) async throws -> Outcome {
        let race = Race(
            of: contestants, plan: plan, probe: probe, stopwatch: stopwatch, progress: progress)
        let before = try await race.run()
        let failures = race.entries.compactMap { entry in
            entry.failure.map { (title: entry.contestant.title, reason: $0) }
        }
        return Outcome(report: report(of: race, about: about, before: before), failures: failures)
    }

    private func report(of race: Race, about: About, before: DeviceReading) -> DeviceReport? {
        let results = race.entries.compactMap(\.result)
        // Of turns by the clock, the iterations are those of the shortest.
        guard let fewest = results.flatMap(\.samplesMs).map(\.count).min() else { return nil }
        let conditions = DeviceReport.Conditions(
            lowPower: before.lowPower, battery: before.battery, charging: before.charging,
            thermal: race.log.samples)
        let created = Date.ISO8601FormatStyle(timeZoneSeparator: .colon, timeZone: about.timeZone)
        return DeviceReport(
            created: about.created.formatted(created), app: about.app,
            versions: versions(of: race, about: about),
            device: about.device,
            settings: DeviceReport.Settings(rounds: plan.rounds, warmUp: plan.warmUp, iterations: fewest),
            conditions: conditions, results: results)
    }

    /// The app's, and of each tool that made what was measured; where artifacts differ, all of theirs.
    private func versions(of race: Race, about: About) -> [String: String] {
        let measured = race.entries.filter { $0.failure == nil }.map(\.contestant.exporter)
        let exporters = Set(measured.compactMap(\.self)).sorted().joined(separator: ", ")
        let ours = ["shvit-kit": SHViTKitVersion.text]
        let theirs = exporters.isEmpty ? [:] : ["shvit-mobile": exporters]
        return about.versions.merging(ours) { $1 }.merging(theirs) { $1 }
    }
}

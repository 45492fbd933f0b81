/// A running measurement, like the one of `shvit-mobile benchmark`: interleaved rounds, then the sustained runs.
final class Race {
    private let plan: Profiler.Plan
    private let probe: any DeviceProbe
    private let stopwatch: Stopwatch
    private let progress: @Sendable (Profiler.Progress) -> Void
    private var done = 0
    let entries: [Entry]
    private(set) var log: ThermalLog

    init(
        of contestants: [Contestant], plan: Profiler.Plan, probe: any DeviceProbe, stopwatch: Stopwatch,
        progress: @escaping @Sendable (Profiler.Progress) -> Void
    ) {
        self.plan = plan
        self.probe = probe
        self.stopwatch = stopwatch
        self.progress = progress
        entries = contestants.map(Entry.init)
        log = ThermalLog(probe: probe, stopwatch: stopwatch)
    }

    /// Measures everything into `entries` and returns the phone's conditions before that.
    ///
    /// - Throws: Only `CancellationError`.
    func run() async throws -> DeviceReading {
        let before = await log.read()
        for _ in 0..<plan.rounds {
            for entry in entries { try await step(entry, turn) }
        }
        if plan.sustained > 0 {
            for entry in entries { try await step(entry, sustain) }
        }
        // Last, since computing a plan takes memory and heats the phone; the measurement counts even without it.
        for entry in entries where entry.failure == nil {
            try Task.checkCancellation()
            entry.placement = (try? await entry.contestant.source.placement()) ?? nil
        }
        return before
    }

    /// Runs one turn or sustained run. An entry that fails is skipped from then on.
    private func step(_ entry: Entry, _ work: (Entry) async throws -> Void) async throws {
        tell(entry, share: 0)
        if entry.failure == nil {
            do { try await work(entry) } catch let error as CancellationError { throw error } catch {
                entry.fail((error as? SHViTError)?.description ?? error.localizedDescription)
            }
            await log.read()
        }
        done += 1
        if done == entries.count * plan.steps { tell(entry, share: 0) }
    }

    private func turn(_ entry: Entry) async throws {
        let classifier = try await ready(entry)
        for _ in 0..<plan.warmUp { _ = try await inference(of: classifier, on: entry) }
        let begun = stopwatch.now()
        var samples: [Double] = []
        var share = 0.0
        while share < 1 || samples.isEmpty {
            samples.append(try await inference(of: classifier, on: entry))
            entry.noteMemory()
            share =
                switch plan.turn {
                case .iterations(let count): Double(samples.count) / Double(count)
                case .seconds(let length): (stopwatch.now() - begun).seconds / length
                }
            if share < 1 { tell(entry, share: share) }
        }
        entry.rounds.append(samples)
    }

    /// Runs inferences without a pause and records the median of each window.
    private func sustain(_ entry: Entry) async throws {
        let classifier = try await ready(entry)
        let begun = stopwatch.now()
        var windows = Windows(length: plan.window)
        var elapsed = 0.0
        while elapsed < plan.sustained {
            tell(entry, share: elapsed / plan.sustained)
            if windows.isOver(at: elapsed) { windows.close(thermal: await log.read().thermal) }
            windows.add(try await inference(of: classifier, on: entry), at: elapsed)
            elapsed = (stopwatch.now() - begun).seconds
        }
        windows.close(thermal: await log.read().thermal)
        entry.windows = windows.closed
    }

    /// Returns the entry's classifier. In the first round, compiles and loads it, runs it once, and runs its golden
    /// check.
    private func ready(_ entry: Entry) async throws -> any Classifier {
        if let loaded = entry.loaded { return loaded.classifier }
        try Task.checkCancellation()
        let source = entry.contestant.source
        var memory = MemoryLog(probe: probe)
        let (compiled, compileMs) = try await measure("Compile") { try await source.compile() }
        let (classifier, loadMs) = try await measure("Load") { try await source.load() }
        memory.note()
        let firstMs = try await inference(of: classifier, on: entry)
        memory.note()
        let peak = memory.growth
        memory.forget()
        let golden = try await interval("Goldens") { try await entry.contestant.goldens?.check(classifier) }
        entry.keep(
            .init(
                classifier: classifier, compileMs: compiled ? compileMs : nil, loadMs: loadMs, firstMs: firstMs,
                golden: golden, peakMemory: peak, memory: memory))
        return classifier
    }

    /// Runs one inference and returns its latency in milliseconds.
    private func inference(of classifier: any Classifier, on entry: Entry) async throws -> Double {
        try Task.checkCancellation()
        return try await measure("Inference") { try await classifier.logits(for: entry.contestant.pixels) }.milliseconds
    }

    /// Runs `work` as an interval in Instruments; returns its result and its duration.
    private func measure<Value>(
        _ name: StaticString, _ body: () async throws -> Value
    ) async throws -> (value: Value, milliseconds: Double) {
        try await interval(name) {
            let begun = stopwatch.now()
            let value = try await body()
            return (value, (stopwatch.now() - begun).milliseconds)
        }
    }

    private func tell(_ entry: Entry, share: Double) {
        let fraction = (Double(done) + share) / Double(entries.count * plan.steps)
        progress(.init(contestant: entry.contestant.title, fraction: fraction))
    }
}

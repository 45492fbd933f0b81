/// A measurement under way, as the race of `shvit-mobile benchmark`: entries take turns, then each has its sustained run.
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

    /// How the phone was before, and everything measured into `entries`.
    ///
    /// - Throws: `CancellationError` alone.
    func run() async throws -> DeviceReading {
        let before = await log.read()
        for _ in 0..<plan.rounds {
            for entry in entries { try await step(entry, turn) }
        }
        if plan.sustained > 0 {
            for entry in entries { try await step(entry, sustain) }
        }
        // Last, since a plan is memory and heat; and without one, what was measured still counts.
        for entry in entries where entry.failure == nil {
            try Task.checkCancellation()
            entry.placement = (try? await entry.contestant.source.placement()) ?? nil
        }
        return before
    }

    /// One turn or sustained run; an entry that fails is out, and does not stop the others.
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

    /// Inferences without a pause, their medians window by window.
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

    /// The entry's classifier; at its first turn it is compiled, loaded, run once, and answers its goldens.
    private func ready(_ entry: Entry) async throws -> any Classifier {
        if let loaded = entry.loaded { return loaded.classifier }
        try Task.checkCancellation()
        let source = entry.contestant.source
        var memory = MemoryLog(probe: probe)
        let (compiled, compileMs) = try await timed("Compile") { try await source.compile() }
        let (classifier, loadMs) = try await timed("Load") { try await source.load() }
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

    /// The milliseconds of one inference.
    private func inference(of classifier: any Classifier, on entry: Entry) async throws -> Double {
        try Task.checkCancellation()
        return try await timed("Inference") { try await classifier.logits(for: entry.contestant.pixels) }.milliseconds
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

    private func tell(_ entry: Entry, share: Double) {
        let fraction = (Double(done) + share) / Double(entries.count * plan.steps)
        progress(.init(contestant: entry.contestant.title, fraction: fraction))
    }
}

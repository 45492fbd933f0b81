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
        before: DeviceReading, progress: @escaping @Sendable (Profiler.Progress) -> Void
    ) {
        self.plan = plan
        self.probe = probe
        self.stopwatch = stopwatch
        self.progress = progress
        entries = contestants.map(Entry.init)
        log = ThermalLog(probe: probe, stopwatch: stopwatch, first: before)
    }

    /// Measures everything into `entries`.
    ///
    /// - Throws: Only `CancellationError`.
    func run() async throws {
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
        let runner = try await ready(entry)
        let warmUp = try await inferences(plan.warmUp, least: 0, of: runner, on: entry) { _ in }
        entry.warmUp = min(entry.warmUp, warmUp.count)
        let samples = try await inferences(plan.turn, least: plan.leastIterations, of: runner, on: entry) { share in
            entry.noteMemory()
            if share < 1 { tell(entry, share: share) }
        }
        entry.rounds.append(samples)
        try await frames(entry, runner)
    }

    /// Runs inferences for a number or a time, and returns their latencies.
    ///
    /// - Parameter after: Called after each with the share of the turn that is over.
    private func inferences(
        _ turn: Profiler.Turn, least: Int, of runner: any Runner, on entry: Entry, after: (Double) -> Void
    ) async throws -> [Double] {
        let begun = stopwatch.now()
        var samples: [Double] = []
        func share() -> Double {
            switch turn {
            case .iterations(let count): count == 0 ? 1 : Double(samples.count) / Double(count)
            case .seconds(let length): length == 0 ? 1 : (stopwatch.now() - begun).seconds / length
            }
        }
        while share() < 1 || turn.duration != nil && samples.count < least {
            samples.append(try await inference(of: runner, on: entry))
            after(share())
        }
        return samples
    }

    /// Takes whole frames through all stages, at least three.
    private func frames(_ entry: Entry, _ runner: any Runner) async throws {
        guard let frame = entry.contestant.frame else { return }
        let begun = stopwatch.now()
        var count = 0
        while count < 3 || (stopwatch.now() - begun).seconds < plan.frames {
            try Task.checkCancellation()
            let timed = try await interval("Frame") { try await frame.run(runner, stopwatch: stopwatch) }
            entry.frames.append(timed)
            count += 1
        }
    }

    /// Runs inferences without a pause and records the median of each window.
    private func sustain(_ entry: Entry) async throws {
        let runner = try await ready(entry)
        let begun = stopwatch.now()
        var windows = Windows(length: plan.window)
        var elapsed = 0.0
        while elapsed < plan.sustained {
            tell(entry, share: elapsed / plan.sustained)
            if windows.isOver(at: elapsed) { windows.close(thermal: await log.read().thermal) }
            windows.add(try await inference(of: runner, on: entry), at: elapsed)
            elapsed = (stopwatch.now() - begun).seconds
        }
        windows.close(thermal: await log.read().thermal)
        entry.windows = windows.closed
    }

    /// Returns the entry's runner. In the first round, compiles and loads it, runs it once, and runs its golden
    /// check.
    private func ready(_ entry: Entry) async throws -> any Runner {
        if let loaded = entry.loaded { return loaded.runner }
        try Task.checkCancellation()
        let source = entry.contestant.source
        var memory = MemoryLog(probe: probe)
        let (compiled, compileMs) = try await measure("Compile") { try await source.compile() }
        let (runner, loadMs) = try await measure("Load") { try await source.load() }
        memory.note()
        let firstMs = try await inference(of: runner, on: entry)
        memory.note()
        let peak = memory.growth
        memory.forget()
        let golden = try await interval("Goldens") { try await entry.contestant.goldens?.check(runner) }
        entry.keep(
            .init(
                runner: runner, compileMs: compiled ? compileMs : nil, loadMs: loadMs, firstMs: firstMs,
                golden: golden, peakMemory: peak, memory: memory))
        return runner
    }

    /// Runs one inference and returns the latency of the runtime's call in milliseconds.
    private func inference(of runner: any Runner, on entry: Entry) async throws -> Double {
        try Task.checkCancellation()
        return try await interval("Inference") {
            try await runner.timedOutputs(for: entry.contestant.pixels, stopwatch: stopwatch).times.inference
                .milliseconds
        }
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

import Foundation
import Testing

@testable import SHViTKit

struct ProfilerTests {
    let clock = StandingClock()
    let pixels: RGBImage
    let about = Profiler.About(
        app: "Tests 1.0 (1)", versions: ["ios": "iOS 18.3"],
        device: .init(model: "iPhone16,1", system: "iOS 18.3", cores: 6, memoryBytes: 8 << 30, name: "iPhone 15 Pro"),
        created: Date(timeIntervalSince1970: 1_739_522_460), timeZone: TimeZone(secondsFromGMT: 3600) ?? .gmt)

    init() throws {
        pixels = try RGBImage(height: 1, width: 1, bytes: [1, 2, 3])
    }

    func contestant(_ source: any RunnerSource, name: String = "model.pte") -> Contestant {
        Contestant(name: name, engine: "ExecuTorch", precision: "fp32", threads: 2, source: source, pixels: pixels)
    }

    func profiler(_ plan: Profiler.Plan, phone: any DeviceProbe = SilentPhone()) -> Profiler {
        Profiler(plan, probe: phone, stopwatch: clock.stopwatch, sleep: { [clock] in clock.add($0) })
    }

    /// Returns the settings of a report with turns of a number of inferences.
    static func settings(rounds: Int, warmUp: Int, iterations: Int) -> DeviceReport.Settings {
        var settings = DeviceReport.Settings(rounds: rounds, warmUp: warmUp, iterations: iterations)
        (settings.timed, settings.framesS) = (.runtimeCall, 0.25)
        return settings
    }

    @Test("Compilation, loading, first inference and measured inferences are separate")
    func apart() async throws {
        let durations: [Duration] = [.milliseconds(30), .milliseconds(20), .milliseconds(20)]
        let counted: [Duration] = [.milliseconds(4), .milliseconds(2), .milliseconds(3)]
        let model = TimedClassifier(clock, durations: durations + counted, compiling: .milliseconds(500))
        let plan = try Profiler.Plan(warmUp: .iterations(2), turn: .iterations(3), rounds: 1)

        let report = try #require(try await profiler(plan).measure([contestant(model)], about: about).report)

        let result = try #require(report.results.first)
        #expect(result.compileMs == 500)
        #expect(result.loadMs == 40)
        #expect(result.firstMs == 30)
        #expect(result.samplesMs == [[4, 2, 3]])
        #expect(result.latency == Latency(of: [4, 2, 3]))
        #expect(result.windows.isEmpty)
        #expect(result.threads == 2)
        #expect(model.inferences == 6)
        #expect(report.settings == Self.settings(rounds: 1, warmUp: 2, iterations: 3))
        #expect(result.stages == nil)
        #expect(report.versions == ["ios": "iOS 18.3", "shvit-kit": SHViTKitVersion.text])
        #expect(report.created == "2025-02-14T09:41:00+01:00")
        #expect(report.schemaVersion == "1.1")
        #expect(report.kind == "device_report")
        #expect(!report.fixture)
    }

    /// A source with a compute plan, or with an error.
    struct Placed: RunnerSource {
        let model: TimedClassifier
        let counts: [String: Int]?

        func load() async throws -> any Runner { try await model.load() }

        func placement() async throws -> [String: Int]? {
            guard let counts else { throw SHViTError.runtimeFailure("There is no plan.") }
            return counts
        }
    }

    @Test("The placement is reported, and a model without a plan is still measured")
    func placement() async throws {
        let model = TimedClassifier(clock, durations: [.milliseconds(1)])
        let plan = try Profiler.Plan(warmUp: .iterations(0), turn: .iterations(1), rounds: 1)
        let models = [["gpu": 2, "cpu": 1], nil].map { contestant(Placed(model: model, counts: $0)) }
        let report = try #require(
            try await profiler(plan).measure(models + [contestant(model)], about: about).report)
        #expect(report.results.map(\.placement) == [["gpu": 2, "cpu": 1], nil, nil])
    }

    @Test("Without compilation there is no compilation time, and unknown conditions are nil")
    func silence() async throws {
        let model = TimedClassifier(clock, durations: [.milliseconds(1)])
        let plan = try Profiler.Plan(warmUp: .iterations(0), turn: .iterations(1), rounds: 1)
        let report = try #require(try await profiler(plan).measure([contestant(model)], about: about).report)
        #expect(report.results[0].compileMs == nil)
        #expect(report.results[0].peakMemoryBytes == nil)
        #expect(report.results[0].runningMemoryBytes == nil)
        #expect(report.conditions?.thermal == [])
        #expect(report.conditions?.waitedS == 0)
        #expect(report.conditions?.lowPower == nil)
    }

    @Test("Rounds interleave the models, each with its warm-up, and load them once")
    func turns() async throws {
        let order = Locked<[String]>([])
        let models = ["a", "b"].map { name in contestant(Ordered(name: name, order: order, clock: clock), name: name) }
        let plan = try Profiler.Plan(warmUp: .iterations(1), turn: .iterations(2), rounds: 3)

        let report = try #require(try await profiler(plan).measure(models, about: about).report)

        // The first inference after loading, then one warm-up and two measured inferences.
        let expected = ["a loaded", "a", "aaa", "b loaded", "b", "bbb", "aaa", "bbb", "aaa", "bbb"]
        #expect(order.withLock { $0.joined() } == expected.joined())
        #expect(report.results.map(\.name) == ["a", "b"])
        // Each inference takes a millisecond more than the previous one of any model, so rounds differ.
        #expect(report.results[0].samplesMs == [[3, 4], [10, 11], [16, 17]])
        #expect(report.results[1].samplesMs == [[7, 8], [13, 14], [19, 20]])
        #expect(report.settings == Self.settings(rounds: 3, warmUp: 1, iterations: 2))
    }

    /// Records the order of calls; each inference takes a millisecond longer than the previous one of any model.
    struct Ordered: PlainClassifier, RunnerSource {
        let name: String
        let order: Locked<[String]>
        let clock: StandingClock

        func load() async throws -> any Runner {
            order.withLock { $0.append("\(name) loaded") }
            return self
        }

        func logits(for pixels: RGBImage) async throws -> [Float] {
            let count = order.withLock { order in
                order.append(name)
                return order.count { !$0.hasSuffix("loaded") }
            }
            clock.add(.milliseconds(count))
            return [0]
        }
    }

    @Test(
        "A timed turn counts the inferences that begin within it, and the settings report the shortest turn")
    func timedTurns() async throws {
        let model = TimedClassifier(clock, durations: [.milliseconds(1), .seconds(3), .seconds(3), .seconds(9)])
        let plan = try Profiler.Plan(warmUp: .iterations(0), turn: .seconds(4), leastIterations: 1, rounds: 2)
        let report = try #require(try await profiler(plan).measure([contestant(model)], about: about).report)
        #expect(report.results[0].samplesMs == [[3000, 3000], [9000]])
        #expect(report.settings.iterations == 1)
        #expect(report.settings.turnS == 4)
        #expect(report.settings.warmUpS == nil)
    }

    @Test("Warm-up and turn last a time, with a least number of inferences")
    func times() async throws {
        let model = TimedClassifier(clock, durations: [.milliseconds(100)])
        let plan = try Profiler.Plan(warmUp: .seconds(0.5), turn: .seconds(1), leastIterations: 12, rounds: 1)
        let report = try #require(try await profiler(plan).measure([contestant(model)], about: about).report)
        #expect(report.settings.warmUp == 5)
        #expect(report.settings.iterations == 12)
        #expect(model.inferences == 1 + 5 + 12)
    }

    /// A classifier each of whose stages takes a known time.
    struct Staged: Runner, RunnerSource {
        let clock: StandingClock
        let inference: Duration

        func load() async throws -> any Runner { self }

        func timedOutputs(for pixels: RGBImage, stopwatch: Stopwatch) async throws -> TimedOutputs {
            let times = StageTimes(
                preprocessing: .milliseconds(2), tensor: .milliseconds(1), inference: inference,
                decoding: .milliseconds(3))
            clock.add(times.preprocessing + times.tensor + times.inference + times.decoding)
            return TimedOutputs(outputs: ["logits": [1, 2]], times: times)
        }
    }

    @Test("A sample is the runtime's call alone, and whole frames are measured stage by stage")
    func stages() async throws {
        let preprocessor = try Preprocessor(Preprocessing(size: [2, 2]))
        let decoder = try OutputDecoder(DocumentTests.manifest().content, labels: ["cat", "dog"])
        let models = [Duration.milliseconds(4), .milliseconds(994)].map { inference in
            var model = contestant(Staged(clock: clock, inference: inference))
            model.frame = .camera(preprocessor: preprocessor, decoder: decoder)
            return model
        }
        let plan = try Profiler.Plan(warmUp: .iterations(0), turn: .iterations(2), rounds: 2)
        let report = try #require(try await profiler(plan).measure(models, about: about).report)
        #expect(report.results.map(\.samplesMs) == [[[4, 4], [4, 4]], [[994, 994], [994, 994]]])
        let stages = try report.results.map { try #require($0.stages) }
        // 25 frames of 10 ms in each 0.25 s, and at least three of a second.
        #expect(stages.map(\.total.samples) == [50, 6])
        #expect(stages[0].preprocessing.p50 == 2)
        #expect(stages[0].tensor.p50 == 1)
        #expect(stages.map(\.inference.p50) == [4, 994])
        #expect(stages[0].decoding.p50 == 3)
        #expect(stages.map(\.total.p50) == [10, 1000])
        #expect(report.settings.picture == .init(width: 640, height: 480, format: .bgra))
        #expect(try Document<DeviceReport>(json: Document(report).json(), source: "r.json").content == report)
    }

    @Test("Low-power mode is refused before and after the measurement, unless it is allowed")
    func lowPower() async throws {
        var plan = try Profiler.Plan(warmUp: .iterations(0), turn: .iterations(1), rounds: 1)
        let (off, on) = (DeviceReading(lowPower: false), DeviceReading(lowPower: true))
        for readings in [[on], [off, on]] {
            let model = contestant(TimedClassifier(clock, durations: [.milliseconds(1)]))
            let profiler = profiler(plan, phone: GivenPhone(readings))
            let message = await sentence { _ = try await profiler.measure([model], about: about) }
            #expect(message.hasPrefix("lowPowerMode: Low-power mode "))
        }
        plan.allowsLowPower = true
        let model = contestant(TimedClassifier(clock, durations: [.milliseconds(1)]))
        let outcome = try await profiler(plan, phone: GivenPhone([on])).measure([model], about: about)
        let report = try #require(outcome.report)
        #expect(report.conditions?.lowPower == true)
        #expect(report.settings.overrides == [.lowPower])
        _ = try Document(report).json()
    }

    @Test("A warm phone is waited for and then refused, unless heat is allowed")
    func heat() async throws {
        var plan = try Profiler.Plan(warmUp: .iterations(0), turn: .iterations(1), rounds: 1, cooling: 5)
        let (warm, cool) = (DeviceReading(thermal: .fair), DeviceReading(thermal: .nominal))
        let model = contestant(TimedClassifier(clock, durations: [.milliseconds(1)]))
        let told = Locked<[String]>([])
        let cooled = try await profiler(plan, phone: GivenPhone([warm, warm, cool])).measure([model], about: about) {
            progress in told.withLock { $0.append(progress.contestant) }
        }
        #expect(cooled.report?.conditions?.waitedS == 2)
        #expect(cooled.report?.conditions?.thermal.first == .init(seconds: 0, state: .nominal))
        #expect(told.withLock { $0.count { $0 == "The phone cools" } } == 2)
        let hot = profiler(plan, phone: GivenPhone([warm]))
        let message = await sentence { _ = try await hot.measure([model], about: about) }
        #expect(message.hasPrefix("phoneTooWarm: The phone's thermal state is fair."))
        #expect(message.contains("within 5 s"))
        plan.allowsHeat = true
        let allowed = try await profiler(plan, phone: GivenPhone([warm])).measure([model], about: about)
        #expect(allowed.report?.conditions?.waitedS == 0)
        #expect(allowed.report?.settings.overrides == [.heat])
        _ = try Document(try #require(allowed.report)).json()
    }

    @Test("A sustained run follows the rounds and reports the median of each window")
    func sustained() async throws {
        // Loading and one turn, then 10 s of inferences of 0.5 s, then inferences of 2 s.
        let quick = [Duration](repeating: .milliseconds(500), count: 22)
        let model = TimedClassifier(clock, durations: quick + [.seconds(2)])
        let plan = try Profiler.Plan(warmUp: .iterations(0), turn: .iterations(1), rounds: 1, sustained: 25, window: 10)

        let outcome = try await profiler(plan, phone: WarmingPhone()).measure([contestant(model)], about: about)

        let report = try #require(outcome.report)
        let windows = report.results[0].windows
        #expect(windows.map(\.startS) == [0, 10, 20])
        #expect(windows.map(\.samples) == [20, 5, 3])
        #expect(windows.map(\.p50) == [500, 2000, 2000])
        #expect(windows.map(\.thermal) == [.serious, .critical, .critical])
        // The latency covers only the rounds.
        #expect(report.results[0].samplesMs == [[500]])
        let thermal = try #require(report.conditions?.thermal)
        #expect(thermal.map(\.state) == [.nominal, .fair, .serious, .critical, .critical, .critical])
        #expect(thermal.map(\.seconds) == thermal.map(\.seconds).sorted())
        #expect(thermal.first?.seconds == 0)
        #expect(report.conditions?.battery == 0.5)
        #expect(report.conditions?.charging == true)
    }

    @Test("A pause longer than a window creates no empty window")
    func gap() async throws {
        let model = TimedClassifier(clock, durations: [.seconds(1), .seconds(1), .seconds(25), .seconds(1)])
        let plan = try Profiler.Plan(warmUp: .iterations(0), turn: .iterations(1), rounds: 1, sustained: 26, window: 10)
        let report = try #require(try await profiler(plan).measure([contestant(model)], about: about).report)
        #expect(report.results[0].windows.map(\.startS) == [0, 20])
    }

    @Test("Memory is the app's growth while a model loads and runs")
    func memory() async throws {
        let model = TimedClassifier(clock, durations: [.milliseconds(1)])
        let plan = try Profiler.Plan(warmUp: .iterations(3), turn: .iterations(4), rounds: 2)
        let outcome = try await profiler(plan, phone: WarmingPhone()).measure([contestant(model)], about: about)
        let result = try #require(outcome.report?.results.first)
        // Asked before, once loaded, after the first inference, and after each of the four that count in the first turn;
        // later turns would count what others have loaded since.
        #expect(result.peakMemoryBytes == 2 << 20)
        #expect(result.runningMemoryBytes == 6 << 20)
    }

    @Test("Progress goes from 0 to 1 over all models")
    func progress() async throws {
        let seen = Locked<[Profiler.Progress]>([])
        let plan = try Profiler.Plan(warmUp: .iterations(0), turn: .iterations(2), rounds: 2, sustained: 1)
        let models = ["a", "b"].map { name in
            contestant(TimedClassifier(clock, durations: [.milliseconds(500)]), name: name)
        }
        _ = try await profiler(plan).measure(models, about: about) { progress in seen.withLock { $0.append(progress) } }
        let progress = seen.withLock { $0 }
        #expect(progress.map(\.contestant).joined() == "aabbaabb" + "aa" + "abbbb")
        let fractions = progress.map(\.fraction)
        #expect(fractions == fractions.sorted())
        #expect(fractions.prefix(4).map { ($0 * 12).rounded() } == [0, 1, 2, 3])
        #expect(fractions.last == 1)
    }

    struct Broken: RunnerSource {
        func load() async throws -> any Runner { throw SHViTError.runtimeFailure("The program is damaged.") }
    }

    @Test("A failing model does not stop the others, and without results there is no report")
    func failures() async throws {
        let plan = try Profiler.Plan(warmUp: .iterations(0), turn: .iterations(1), rounds: 1)
        let good = contestant(TimedClassifier(clock, durations: [.milliseconds(1)]))
        let outcome = try await profiler(plan).measure([contestant(Broken(), name: "broken"), good], about: about)
        #expect(outcome.report?.results.map(\.name) == ["model.pte"])
        #expect(outcome.failures.map(\.title) == ["broken"])
        #expect(outcome.failures.map(\.reason) == ["The program is damaged."])
        #expect(outcome.report?.failures?.map(\.name) == ["broken"])
        #expect(outcome.report?.failures?.map(\.error) == ["The program is damaged."])
        let nothing = try await profiler(plan).measure([contestant(Broken())], about: about)
        #expect(nothing.report == nil)
    }

    /// A classifier that fails after a number of inferences.
    final class Tiring: PlainClassifier, RunnerSource {
        let left: Locked<Int>

        init(_ answers: Int) { left = Locked(answers) }

        func load() async throws -> any Runner { self }

        func logits(for pixels: RGBImage) async throws -> [Float] {
            let isOver = left.withLock { left in
                left -= 1
                return left < 0
            }
            if isOver { throw CocoaError(.fileReadCorruptFile) }
            return [0]
        }
    }

    @Test("A model that fails in a later round is a failure and not in the report")
    func laterFailure() async throws {
        let plan = try Profiler.Plan(warmUp: .iterations(0), turn: .iterations(1), rounds: 3, sustained: 1)
        let good = contestant(TimedClassifier(clock, durations: [.seconds(1)]))
        let outcome = try await profiler(plan).measure([contestant(Tiring(3), name: "tiring"), good], about: about)
        #expect(outcome.report?.results.map(\.name) == ["model.pte"])
        #expect(outcome.failures.map(\.title) == ["tiring"])
        #expect(outcome.failures.first?.reason.isEmpty == false)
    }

    @Test("The report names the exporters of measured models only")
    func exporters() async throws {
        let plan = try Profiler.Plan(warmUp: .iterations(0), turn: .iterations(1), rounds: 1)
        var models = ["0.2.0", "0.1.0", "0.2.0"].map { version in
            var model = contestant(TimedClassifier(clock, durations: [.seconds(1)]))
            model.exporter = version
            return model
        }
        var broken = contestant(Broken())
        broken.exporter = "0.0.1"
        models.append(broken)
        let report = try await profiler(plan).measure(models, about: about).report
        #expect(report?.versions["shvit-mobile"] == "0.1.0, 0.2.0")
    }

    /// Cancels its task at the third inference.
    final class Cancelling: PlainClassifier, RunnerSource {
        let asked = Locked(0)
        func load() async throws -> any Runner { self }
        func logits(for pixels: RGBImage) async throws -> [Float] {
            let count = asked.withLock { asked in
                asked += 1
                return asked
            }
            if count == 3 { withUnsafeCurrentTask { $0?.cancel() } }
            return [0]
        }
    }

    @Test("A cancelled measurement stops before the next inference, also in the warm-up", arguments: [0, 100])
    func cancelled(warmUp: Int) async throws {
        let model = Cancelling()
        let plan = try Profiler.Plan(warmUp: .iterations(warmUp), turn: .iterations(1_000_000))
        let (profiler, contestant, about) = (profiler(plan), contestant(model), about)
        let task = Task { try await profiler.measure([contestant], about: about) }
        await #expect(throws: CancellationError.self) { _ = try await task.value }
        #expect(model.asked.withLock { $0 } == 3)
    }

    @Test("A plan that measures nothing is rejected")
    func plans() {
        #expect(throws: SHViTError.self) { try Profiler.Plan(turn: .iterations(0)) }
        #expect(throws: SHViTError.self) { try Profiler.Plan(turn: .seconds(0)) }
        #expect(throws: SHViTError.self) { try Profiler.Plan(turn: .seconds(.infinity)) }
        #expect(throws: SHViTError.self) { try Profiler.Plan(rounds: 0) }
        #expect(throws: SHViTError.self) { try Profiler.Plan(sustained: -1) }
        #expect(throws: SHViTError.self) { try Profiler.Plan(sustained: .infinity) }
        #expect(throws: SHViTError.self) { try Profiler.Plan(warmUp: .iterations(-1)) }
        #expect(throws: SHViTError.self) { try Profiler.Plan(warmUp: .seconds(.nan)) }
        #expect(throws: SHViTError.self) { try Profiler.Plan(leastIterations: 0) }
        #expect(throws: SHViTError.self) { try Profiler.Plan(frames: 0) }
        #expect(throws: SHViTError.self) { try Profiler.Plan(cooling: -1) }
        #expect(throws: SHViTError.self) { try Profiler.Plan(window: 0) }
    }
}

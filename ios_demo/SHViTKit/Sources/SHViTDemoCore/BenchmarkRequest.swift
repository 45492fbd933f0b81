import SHViTKit

/// A benchmark that the app's launch arguments ask for.
///
///     -benchmark all -seconds 1 -rounds 12 -output report.json
public struct BenchmarkRequest: Equatable, Sendable {
    /// The names of the models; nil for all.
    public var models: [String]?
    /// The compute units for Core ML models.
    public var computes: [DeviceReport.Compute] = DeviceReport.Compute.allCases
    /// How each model is measured.
    public var plan: Profiler.Plan
    /// The report's file name in the app's documents.
    public var output = "report.json"
    /// The identity of the run, which the computer chooses; it starts every line that the app prints.
    public var runId: String?

    /// Parses a program's arguments; nil if they do not ask for a benchmark.
    ///
    /// - Parameter arguments: The arguments without the program's name. Those that the system adds (`-NS…`, `-Apple…`)
    ///   are ignored.
    /// - Throws: `SHViTError` if an option is unknown, has no value, or has an invalid value.
    public init?(_ arguments: [String]) throws(SHViTError) {
        guard arguments.contains("-\(Option.benchmark.rawValue)") else { return nil }
        let values = try Self.values(in: arguments)
        plan = try Self.plan(of: values)
        if let names = values[.benchmark], names != "all" { models = Self.parts(of: names) }
        if let units = values[.compute] { computes = try Self.computes(named: units) }
        if let id = values[.runId] {
            runId = try Self.identity(id)
            output = "\(id).json"
        }
        if let name = values[.output] { output = try Self.fileName(name) }
    }

    /// Returns the trials to measure.
    ///
    /// - Throws: `SHViTError` if a requested model does not exist, or there is nothing to measure.
    public func trials(of models: [EmbeddedModel]) throws(SHViTError) -> [Trial] {
        let there = models.map(\.id)
        for name in self.models ?? [] where !there.contains(name) {
            throw SHViTError.modelNotEmbedded(
                "There is no model \(name).", why: "Models: \(there.joined(separator: ", ")).",
                next: "Try: -benchmark all")
        }
        let chosen = models.filter { self.models?.contains($0.id) ?? true }
        let trials = Trial.all(of: chosen, computes: computes)
        guard !trials.isEmpty else {
            throw SHViTError.modelNotEmbedded(
                "There is no model to measure.",
                why: "The app contains \(models.count) models. None of them runs on a phone.",
                next: "Embed a model: shvit-mobile embed ARTIFACT --into ios_demo")
        }
        return trials
    }

    /// The options.
    private enum Option: String, CaseIterable {
        case benchmark, iterations, seconds, rounds, sustained, compute, output
        case warmUp = "warm-up"
        case warmUpSeconds = "warm-up-seconds"
        case allowLowPower = "allow-low-power"
        case allowHeat = "allow-heat"
        case runId = "run-id"
    }

    /// The option with the identity of the run.
    static let runIdOption = Option.runId.rawValue

    private static func values(in arguments: [String]) throws(SHViTError) -> [Option: String] {
        var values: [Option: String] = [:]
        var rest = arguments[...]
        while let name = rest.popFirst() {
            if name.hasPrefix("-NS") || name.hasPrefix("-Apple") {
                _ = rest.popFirst()
                continue
            }
            guard name.hasPrefix("-"), let option = Option(rawValue: String(name.dropFirst())) else {
                let known = Option.allCases.map { "-\($0.rawValue)" }.joined(separator: ", ")
                throw SHViTError.invalidSettings("\(name) is not an option.", why: "Options: \(known).")
            }
            // A negative number counts as a value: the option that receives it rejects it.
            guard let value = rest.popFirst(), Option(rawValue: String(value.dropFirst())) == nil else {
                throw SHViTError.invalidSettings(
                    "\(name) has no value.", why: "Every option takes a value.", next: "Try: -benchmark all")
            }
            values[option] = value
        }
        return values
    }

    private static func plan(of values: [Option: String]) throws(SHViTError) -> Profiler.Plan {
        for (count, seconds) in [(Option.iterations, Option.seconds), (.warmUp, .warmUpSeconds)]
        where values[count] != nil && values[seconds] != nil {
            throw SHViTError.invalidSettings(
                "-\(count.rawValue) and -\(seconds.rawValue) cannot be combined.",
                why: "Each sets the same length.", next: "Use one of them.")
        }
        func value(_ option: Option, least: Int = 1) throws(SHViTError) -> Int? {
            guard let text = values[option] else { return nil }
            guard let number = Int(text), number >= least else {
                throw SHViTError.invalidSettings(
                    "-\(option.rawValue) is \(text).", why: "It must be a whole number of at least \(least).")
            }
            return number
        }
        func seconds(_ option: Option) throws(SHViTError) -> Double? {
            guard let text = values[option] else { return nil }
            guard let number = Double(text), number > 0, number.isFinite else {
                throw SHViTError.invalidSettings(
                    "-\(option.rawValue) is \(text).", why: "It must be a number of seconds above 0.")
            }
            return number
        }
        func flag(_ option: Option) throws(SHViTError) -> Bool? {
            guard let text = values[option] else { return nil }
            guard let isOn = Bool(text) else {
                throw SHViTError.invalidSettings("-\(option.rawValue) is \(text).", why: "It must be true or false.")
            }
            return isOn
        }
        var plan = try Profiler.Plan()
        if let count = try value(.warmUp, least: 0) { plan.warmUp = .iterations(count) }
        if let length = try seconds(.warmUpSeconds) { plan.warmUp = .seconds(length) }
        if let count = try value(.iterations) { plan.turn = .iterations(count) }
        if let length = try seconds(.seconds) { plan.turn = .seconds(length) }
        if let isOn = try flag(.allowLowPower) { plan.allowsLowPower = isOn }
        if let isOn = try flag(.allowHeat) { plan.allowsHeat = isOn }
        if let count = try value(.rounds) { plan.rounds = count }
        if let length = try value(.sustained, least: 0) { plan.sustained = Double(length) }
        return plan
    }

    private static func computes(named text: String) throws(SHViTError) -> [DeviceReport.Compute] {
        var computes: [DeviceReport.Compute] = []
        for name in parts(of: text) {
            guard let compute = DeviceReport.Compute(rawValue: name) else {
                let known = DeviceReport.Compute.allCases.map(\.rawValue).joined(separator: ", ")
                throw SHViTError.invalidSettings("\(name) is not a compute unit.", why: "Compute units: \(known).")
            }
            computes.append(compute)
        }
        return computes
    }

    private static func fileName(_ name: String) throws(SHViTError) -> String {
        guard !name.isEmpty, !name.hasPrefix("."), !name.contains("/") else {
            throw SHViTError.invalidSettings(
                "-output is \(name), not a file name.", why: "The report is saved in the app's documents.",
                next: "Try: -output report.json")
        }
        return name
    }

    private static func identity(_ text: String) throws(SHViTError) -> String {
        let isValid = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
        guard isValid, !text.hasPrefix("."), (1...64).contains(text.utf8.count) else {
            throw SHViTError.invalidSettings(
                "-run-id is \(text).",
                why: "It has at most 64 letters, digits, dots, hyphens and underscores.")
        }
        return text
    }

    private static func parts(of list: String) -> [String] {
        list.split(separator: ",").map(String.init)
    }
}

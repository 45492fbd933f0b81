import SHViTKit

/// What the app is to measure without anyone touching it, as its launch arguments say.
///
///     -benchmark all -iterations 20 -rounds 12 -output report.json
public struct BenchmarkRequest: Equatable, Sendable {
    /// The names of the models; nil for all.
    public var models: [String]?
    /// For Core ML.
    public var computes: [DeviceReport.Compute] = DeviceReport.Compute.allCases
    /// How each is measured.
    public var plan: Profiler.Plan
    /// The name of the report in the app's documents.
    public var output = "report.json"

    /// The request in a program's arguments; nil where they hold none.
    ///
    /// - Parameter arguments: without the program's own name. What the system adds (`-NS…`, `-Apple…`) is passed over.
    /// - Throws: `SHViTError` where an option is unknown, lacks its value, or makes no sense.
    public init?(_ arguments: [String]) throws(SHViTError) {
        guard arguments.contains("-\(Option.benchmark.rawValue)") else { return nil }
        let values = try Self.values(in: arguments)
        plan = try Self.plan(of: values)
        if let names = values[.benchmark], names != "all" { models = Self.parts(of: names) }
        if let units = values[.compute] { computes = try Self.computes(named: units) }
        if let name = values[.output] { output = try Self.fileName(name) }
    }

    /// What is to be measured of what is there.
    ///
    /// - Throws: `SHViTError` where a model is asked for that is not there, or none is.
    public func trials(of models: [EmbeddedModel]) throws(SHViTError) -> [Trial] {
        let there = models.map(\.id)
        for name in self.models ?? [] where !there.contains(name) {
            throw SHViTError(
                "There is no model \(name).", why: "There are: \(there.joined(separator: ", ")).",
                next: "Try: -benchmark all")
        }
        let chosen = models.filter { self.models?.contains($0.id) ?? true }
        let trials = Trial.all(of: chosen, computes: computes)
        guard !trials.isEmpty else {
            throw SHViTError(
                "There is no model to measure.", why: "The app has \(models.count), and none is for a phone's runtime.",
                next: "Put models into the app: shvit-mobile embed --into ios_demo")
        }
        return trials
    }

    /// All that can be asked for.
    private enum Option: String, CaseIterable {
        case benchmark, iterations, seconds, rounds, sustained, compute, output
        case warmUp = "warm-up"
    }

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
                throw SHViTError("\(name) is not an option.", why: "Options: \(known).")
            }
            // A negative number is a value all the same; what it is asked for refuses it.
            guard let value = rest.popFirst(), Option(rawValue: String(value.dropFirst())) == nil else {
                throw SHViTError("\(name) has no value.", why: "Every option has one.", next: "Try: -benchmark all")
            }
            values[option] = value
        }
        return values
    }

    private static func plan(of values: [Option: String]) throws(SHViTError) -> Profiler.Plan {
        guard values[.iterations] == nil || values[.seconds] == nil else {
            throw SHViTError(
                "-iterations and -seconds exclude each other.",
                why: "A turn ends after so many inferences, or after a time.", next: "Choose one.")
        }
        func value(_ option: Option, least: Int = 1) throws(SHViTError) -> Int? {
            guard let text = values[option] else { return nil }
            guard let number = Int(text), number >= least else {
                throw SHViTError("-\(option.rawValue) is \(text).", why: "It is a whole number of at least \(least).")
            }
            return number
        }
        var plan = try Profiler.Plan()
        if let count = try value(.warmUp, least: 0) { plan.warmUp = count }
        if let count = try value(.iterations) { plan.turn = .iterations(count) }
        if let length = try value(.seconds) { plan.turn = .seconds(Double(length)) }
        if let count = try value(.rounds) { plan.rounds = count }
        if let length = try value(.sustained, least: 0) { plan.sustained = Double(length) }
        return plan
    }

    private static func computes(named text: String) throws(SHViTError) -> [DeviceReport.Compute] {
        var computes: [DeviceReport.Compute] = []
        for name in parts(of: text) {
            guard let compute = DeviceReport.Compute(rawValue: name) else {
                let known = DeviceReport.Compute.allCases.map(\.rawValue).joined(separator: ", ")
                throw SHViTError("\(name) is no compute unit.", why: "Compute units: \(known).")
            }
            computes.append(compute)
        }
        return computes
    }

    private static func fileName(_ name: String) throws(SHViTError) -> String {
        guard !name.isEmpty, !name.hasPrefix("."), !name.contains("/") else {
            throw SHViTError(
                "-output is \(name), not the name of a file.", why: "The report is written into the app's documents.",
                next: "Try: -output report.json")
        }
        return name
    }

    private static func parts(of list: String) -> [String] {
        list.split(separator: ",").map(String.init)
    }
}

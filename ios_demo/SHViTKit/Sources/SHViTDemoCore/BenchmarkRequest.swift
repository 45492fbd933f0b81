import SHViTKit

/// What the app is to measure without anyone touching it, as its launch arguments say.
///
///     -benchmark all -iterations 200 -output report.json
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
        case benchmark, iterations, seconds, compute, output
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
        if values[.iterations] != nil, values[.seconds] != nil {
            throw SHViTError(
                "-iterations and -seconds exclude each other.", why: "Each says when a measurement ends.",
                next: "Choose one.")
        }
        let warmUp = try values[.warmUp].map { text throws(SHViTError) in try number(text, of: .warmUp, least: 0) } ?? 5
        if let text = values[.seconds] {
            return try .init(warmUp: warmUp, extent: .seconds(Double(number(text, of: .seconds))))
        }
        let count =
            try values[.iterations].map { text throws(SHViTError) in try number(text, of: .iterations) } ?? 200
        return try .init(warmUp: warmUp, extent: .iterations(count))
    }

    private static func number(_ text: String, of option: Option, least: Int = 1) throws(SHViTError) -> Int {
        guard let number = Int(text), number >= least else {
            throw SHViTError("-\(option.rawValue) is \(text).", why: "It is a whole number of at least \(least).")
        }
        return number
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

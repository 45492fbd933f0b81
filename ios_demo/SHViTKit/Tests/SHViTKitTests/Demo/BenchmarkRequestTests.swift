import Foundation
import Testing

@testable import SHViTDemoCore
@testable import SHViTKit

struct BenchmarkRequestTests {
    static func parsed(_ line: String) throws -> BenchmarkRequest? {
        try BenchmarkRequest(line.split(separator: " ").map(String.init))
    }

    @Test("Arguments of the system alone do not ask for a benchmark")
    func none() throws {
        #expect(try Self.parsed("") == nil)
        #expect(try Self.parsed("-NSDocumentRevisionsDebugMode YES -AppleLanguages (de)") == nil)
    }

    @Test("Every option has a default")
    func standard() throws {
        let request = try #require(try Self.parsed("-AppleLanguages (de) -benchmark all"))
        #expect(request.models == nil)
        #expect(request.computes == DeviceReport.Compute.allCases)
        #expect(try request.plan == Profiler.Plan(warmUp: .seconds(0.5), turn: .seconds(1), rounds: 12))
        #expect(request.output == "report.json")
    }

    @Test("Options are parsed in any order")
    func options() throws {
        let request = try #require(
            try Self.parsed("-output one.json -compute cpu,all -warm-up 0 -iterations 7 -rounds 3 -benchmark a,b"))
        #expect(request.models == ["a", "b"])
        #expect(request.computes == [.cpu, .all])
        #expect(try request.plan == Profiler.Plan(warmUp: .iterations(0), turn: .iterations(7), rounds: 3))
        #expect(request.output == "one.json")
        let timed = try #require(try Self.parsed("-benchmark all -seconds 2 -sustained 60"))
        #expect(try timed.plan == Profiler.Plan(turn: .seconds(2), sustained: 60))
        let allowed = try #require(
            try Self.parsed("-benchmark all -warm-up-seconds 0.1 -allow-low-power true -allow-heat true"))
        #expect(try allowed.plan == Profiler.Plan(warmUp: .seconds(0.1), allowsLowPower: true, allowsHeat: true))
    }

    @Test(
        "An invalid value is rejected with the value and the valid ones",
        arguments: [
            ("-benchmark all -iteratons 5", "-iteratons is not an option.\nOptions: -benchmark, -iterations"),
            ("-benchmark all stray", "stray is not an option"),
            ("-benchmark", "-benchmark has no value"),
            ("-benchmark -iterations 5", "-benchmark has no value"),
            ("-benchmark all -iterations 0", "-iterations is 0.\nIt must be a whole number of at least 1"),
            ("-benchmark all -iterations many", "-iterations is many"),
            ("-benchmark all -warm-up -1", "-warm-up is -1.\nIt must be a whole number of at least 0"),
            ("-benchmark all -iterations 5 -seconds 5", "cannot be combined"),
            ("-benchmark all -warm-up 5 -warm-up-seconds 5", "cannot be combined"),
            ("-benchmark all -seconds 0", "-seconds is 0.\nIt must be a number of seconds above 0"),
            ("-benchmark all -allow-heat yes", "-allow-heat is yes.\nIt must be true or false"),
            ("-benchmark all -rounds 0", "-rounds is 0.\nIt must be a whole number of at least 1"),
            ("-benchmark all -sustained -1", "-sustained is -1.\nIt must be a whole number of at least 0"),
            ("-benchmark all -compute gpu", "gpu is not a compute unit.\nCompute units: cpu, cpu-and-gpu"),
            ("-benchmark all -output ../report.json", "../report.json, not a file name"),
            ("-benchmark all -output .hidden", "not a file name"),
        ])
    func refused(line: String, message: String) {
        let error = sentence { _ = try Self.parsed(line) }
        #expect(error.hasPrefix("invalidSettings"))
        #expect(error.contains(message))
    }
}

struct TrialTests {
    static func models(in folder: URL, targets: [Manifest.Target]) throws -> [EmbeddedModel] {
        try targets.map { target in
            let place = folder.appending(path: target.rawValue)
            let model = try #require(ModelStoreTests.store(in: place).listing().models.first)
            let file = model.folder.appending(path: "\(model.id).manifest.json")
            var manifest = try Document<Manifest>(contentsOf: file)
            manifest.content.target = target
            try manifest.write(to: file)
            return try EmbeddedModel(folder: model.folder)
        }
    }

    @Test("Core ML runs on all compute units, ExecuTorch on the CPU, and ONNX is skipped")
    func all() async throws {
        try await withFolder { folder in
            let models = try Self.models(in: folder, targets: [.coreml, .onnx, .executorch])
            let trials = Trial.all(of: models, computes: [.cpu, .cpuAndNeuralEngine])
            let stem = ModelStoreTests.stem
            #expect(
                trials.map(\.id) == [
                    "\(stem) on CPU", "\(stem) on CPU and Neural Engine", "\(stem) on CPU",
                ])
            #expect(models.map { Trial.standard(of: $0)?.compute } == [.all, nil, .cpu])
        }
    }

    @Test("A program with a Core ML delegate may use all processors, and its engine says so")
    func delegate() async throws {
        try await withFolder { folder in
            var model = try #require(try Self.models(in: folder, targets: [.executorch]).first)
            let file = model.folder.appending(path: "\(model.id).manifest.json")
            for (backend, compute, engine) in [
                ("XnnpackBackend", DeviceReport.Compute.cpu, "ExecuTorch 1.4.1 (XNNPACK)"),
                ("CoreMLBackend", .all, "ExecuTorch 1.4.1 (Core ML)"),
            ] {
                var manifest = try Document<Manifest>(contentsOf: file)
                manifest.content.delegation = Manifest.Delegation(
                    backend: backend, delegates: 1, delegatedOperators: 57, leftOperators: [:])
                try manifest.write(to: file)
                model = try EmbeddedModel(folder: model.folder)
                #expect(Trial.all(of: [model], computes: [.cpu, .all]).map(\.compute) == [compute])
                #expect(Wording.engine(model.manifest, versions: ["executorch": "1.4.1"]) == engine)
            }
        }
    }

    @Test("Only requested models are measured; a missing one is reported with the existing ones")
    func request() async throws {
        try await withFolder { folder in
            let models = try Self.models(in: folder, targets: [.executorch])
            let request = try #require(try BenchmarkRequest(["-benchmark", ModelStoreTests.stem]))
            #expect(try request.trials(of: models).map(\.compute) == [.cpu])
            let absent = try #require(try BenchmarkRequest(["-benchmark", "absent"]))
            let message = sentence { _ = try absent.trials(of: models) }
            #expect(message.hasPrefix("modelNotEmbedded: There is no model absent.\nModels: \(ModelStoreTests.stem)."))
            let all = try #require(try BenchmarkRequest(["-benchmark", "all"]))
            #expect(sentence { _ = try all.trials(of: []) }.hasPrefix("modelNotEmbedded"))
        }
    }
}

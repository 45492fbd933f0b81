import Foundation
import SHViTDemoCore
import Testing

@testable import SHViTKit

struct BenchmarkRequestTests {
    static func parsed(_ line: String) throws -> BenchmarkRequest? {
        try BenchmarkRequest(line.split(separator: " ").map(String.init))
    }

    @Test("An app that is started by hand is asked for nothing, whatever the system adds")
    func none() throws {
        #expect(try Self.parsed("") == nil)
        #expect(try Self.parsed("-NSDocumentRevisionsDebugMode YES -AppleLanguages (de)") == nil)
    }

    @Test("All that is not said has a value")
    func standard() throws {
        let request = try #require(try Self.parsed("-AppleLanguages (de) -benchmark all"))
        #expect(request.models == nil)
        #expect(request.computes == DeviceReport.Compute.allCases)
        #expect(try request.plan == Profiler.Plan(warmUp: 5, turn: .iterations(20), rounds: 12))
        #expect(request.output == "report.json")
    }

    @Test("Every option is read, in any order")
    func options() throws {
        let request = try #require(
            try Self.parsed("-output one.json -compute cpu,all -warm-up 0 -iterations 7 -rounds 3 -benchmark a,b"))
        #expect(request.models == ["a", "b"])
        #expect(request.computes == [.cpu, .all])
        #expect(try request.plan == Profiler.Plan(warmUp: 0, turn: .iterations(7), rounds: 3))
        #expect(request.output == "one.json")
        let timed = try #require(try Self.parsed("-benchmark all -seconds 2 -sustained 60"))
        #expect(try timed.plan == Profiler.Plan(turn: .seconds(2), sustained: 60))
    }

    @Test(
        "What makes no sense is refused with the value, and with what would",
        arguments: [
            ("-benchmark all -iteratons 5", "-iteratons is not an option.\nOptions: -benchmark, -iterations"),
            ("-benchmark all stray", "stray is not an option"),
            ("-benchmark", "-benchmark has no value"),
            ("-benchmark -iterations 5", "-benchmark has no value"),
            ("-benchmark all -iterations 0", "-iterations is 0.\nIt is a whole number of at least 1"),
            ("-benchmark all -iterations many", "-iterations is many"),
            ("-benchmark all -warm-up -1", "-warm-up is -1.\nIt is a whole number of at least 0"),
            ("-benchmark all -iterations 5 -seconds 5", "exclude each other"),
            ("-benchmark all -rounds 0", "-rounds is 0.\nIt is a whole number of at least 1"),
            ("-benchmark all -sustained -1", "-sustained is -1.\nIt is a whole number of at least 0"),
            ("-benchmark all -compute gpu", "gpu is no compute unit.\nCompute units: cpu, cpu-and-gpu"),
            ("-benchmark all -output ../report.json", "../report.json, not the name of a file"),
            ("-benchmark all -output .hidden", "not the name of a file"),
        ])
    func refused(line: String, told: String) {
        #expect(sentence { _ = try Self.parsed(line) }.contains(told))
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

    @Test("Core ML is measured on all compute units, ExecuTorch on the processor, and what no phone runs not at all")
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

    @Test("Only what is asked for is measured; what is not there is named with what is")
    func request() async throws {
        try await withFolder { folder in
            let models = try Self.models(in: folder, targets: [.executorch])
            let request = try #require(try BenchmarkRequest(["-benchmark", ModelStoreTests.stem]))
            #expect(try request.trials(of: models).map(\.compute) == [.cpu])
            let absent = try #require(try BenchmarkRequest(["-benchmark", "absent"]))
            let told = sentence { _ = try absent.trials(of: models) }
            #expect(told.contains("There is no model absent.\nThere are: \(ModelStoreTests.stem)."))
            let all = try #require(try BenchmarkRequest(["-benchmark", "all"]))
            #expect(sentence { _ = try all.trials(of: []) }.contains("shvit-mobile embed"))
        }
    }
}

import SHViTDemoCore
import SHViTKit
import XCTest

@testable import SHViTDemo

/// Tests of the models in the app, on the phone or simulator that runs them.
final class EmbeddedModelTests: XCTestCase {
    func testEveryModelIsWhatWasExported() throws {
        let listing = Device.store.listing()
        XCTAssertTrue(listing.problems.isEmpty, "\(listing.problems)")
        XCTAssertFalse(listing.models.isEmpty, "The app contains no model: make app-goldens")
        for model in listing.models { try model.verify() }
    }

    func testEveryModelAnswersItsGoldensOnTheProcessor() async throws {
        for trial in Trial.all(of: Device.store.listing().models, computes: [.cpu]) {
            guard let goldens = try trial.model.goldens() else { continue }
            let runner = try await Device.source(of: trial).load()
            let outcome = try await GoldenChecker(goldens, decoder: Device.decoder).check(runner)
            XCTAssertTrue(outcome.passed, "\(trial.id): \(outcome.sentences)")
        }
    }

    /// Runs the benchmark (`-benchmark all`) with this phone's own runtimes; briefly, since the figures are not used.
    func testABenchmarkOfAllModelsWritesAReportThatNamesThePhone() async throws {
        let trials = Trial.all(of: Device.store.listing().models, computes: DeviceReport.Compute.allCases)
        let plan = try Profiler.Plan(warmUp: .iterations(1), turn: .iterations(2), rounds: 2)
        let outcome = try await Device.benchmark.measure(trials, plan: plan, about: await Device.about())
        XCTAssertTrue(outcome.failures.isEmpty, "\(outcome.failures)")
        let report = try XCTUnwrap(outcome.report)
        XCTAssertEqual(report.results.count, trials.count)
        XCTAssertTrue(report.app.hasSuffix("for iOS"))
        XCTAssertEqual(report.versions["ios"], report.device.system)
        XCTAssertFalse(try Document(report).json().isEmpty)
    }
}

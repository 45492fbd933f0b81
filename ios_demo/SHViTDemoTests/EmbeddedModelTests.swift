import SHViTDemoCore
import SHViTKit
import XCTest

@testable import SHViTDemo

/// The models in the app, on the phone or simulator that runs the tests.
final class EmbeddedModelTests: XCTestCase {
    func testEveryModelIsWhatWasExported() throws {
        let listing = Device.store.listing()
        XCTAssertTrue(listing.problems.isEmpty, "\(listing.problems)")
        XCTAssertFalse(listing.models.isEmpty, "There is no model in the app: make app-goldens")
        for model in listing.models { try model.verify() }
    }

    func testEveryModelAnswersItsGoldensOnTheProcessor() async throws {
        for trial in Trial.all(of: Device.store.listing().models, computes: [.cpu]) {
            guard let goldens = try trial.model.goldens() else { continue }
            let classifier = try await Device.source(of: trial).load()
            let outcome = try await GoldenChecker(goldens, decoder: Device.decoder).check(classifier)
            XCTAssertTrue(outcome.passed, "\(trial.id): \(outcome.sentences)")
        }
    }

    @MainActor
    func testTheCatalogueChoosesAModelThatRuns() throws {
        let catalogue = Catalogue(store: Device.store)
        let trial = try XCTUnwrap(catalogue.chosen)
        catalogue.compute = .cpu
        XCTAssertEqual(catalogue.chosen?.model.id, trial.model.id)
        XCTAssertEqual(catalogue.chosen?.compute, .cpu)
        catalogue.chosenName = nil
        XCTAssertNil(catalogue.chosen)
    }

    @MainActor
    func testABenchmarkOfNothingChosenHasNoTrials() {
        let model = BenchmarkModel(models: Device.store.listing().models)
        XCTAssertFalse(model.trials.isEmpty)
        model.chosen = []
        XCTAssertTrue(model.trials.isEmpty)
    }
}

import SHViTDemoCore
import SHViTKit
import XCTest

@testable import SHViTDemo

/// Measures the first model in the app with XCTest's metrics. The scheme runs it in Release.
///
/// The benchmark (`-benchmark all`) covers all models, percentiles and throttling.
final class ModelPerformanceTests: XCTestCase {
    /// Inferences per measured block, so many that XCTest's own overhead does not count.
    private static let inferences = 50

    func testLoading() throws {
        let source = try Device.source(of: trial())
        // Compilation happens once per installation.
        try wait { try await source.load() }
        measure([XCTClockMetric(), XCTMemoryMetric()]) { _ = try await source.load() }
    }

    func testInference() throws {
        let trial = try trial()
        let source = try Device.source(of: trial)
        let runner = try wait { try await source.load() }
        let pixels = try picture(for: trial.model)
        try wait { try await runner.outputs(for: pixels) }
        measure([XCTClockMetric(), XCTCPUMetric()]) {
            for _ in 0..<Self.inferences { _ = try await runner.outputs(for: pixels) }
        }
    }

    func testPreprocessing() throws {
        let preprocessor = try Preprocessor(try trial().model.manifest.preprocessing)
        let photo = try RGBImage(height: 1440, width: 1080, bytes: [UInt8](repeating: 127, count: 1440 * 1080 * 3))
        measure(metrics: [XCTClockMetric()]) {
            _ = preprocessor.pixels(of: photo)
        }
    }

    private func trial() throws -> Trial {
        let models = Device.store.listing().models
        return try XCTUnwrap(
            models.compactMap(Trial.standard(of:)).first, "The app contains no model: make app-goldens")
    }

    private func picture(for model: EmbeddedModel) throws -> RGBImage {
        let size = model.manifest.preprocessing.size
        return try RGBImage(
            height: size[0], width: size[1], bytes: [UInt8](repeating: 127, count: size[0] * size[1] * 3))
    }

    private func measure(_ metrics: [any XCTMetric], of work: @escaping @Sendable () async throws -> Void) {
        measure(metrics: metrics) {
            do { try wait(work) } catch { XCTFail("\(error)") }
        }
    }

    /// Waits for asynchronous work, which `measure` does not accept.
    @discardableResult
    private func wait<Value: Sendable>(_ work: @escaping @Sendable () async throws -> Value) throws -> Value {
        let done = expectation(description: "work")
        let box = Box<Value>()
        Task {
            do { box.result = .success(try await work()) } catch { box.result = .failure(error) }
            done.fulfill()
        }
        wait(for: [done], timeout: 120)
        return try XCTUnwrap(box.result).get()
    }

    /// A value that is written before an expectation is fulfilled and read after it.
    private final class Box<Value>: @unchecked Sendable {
        var result: Result<Value, any Error>?
    }
}

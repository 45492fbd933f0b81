import SHViTDemoCore
import SHViTKit
import XCTest

@testable import SHViTDemo

/// How launch arguments become what the app shows; what they mean is tested in SHViTKit.
final class LaunchTests: XCTestCase {
    func testWithoutArgumentsTheScreensAreShown() {
        guard case .byHand = Launch(arguments: []) else { return XCTFail("The app measures by itself.") }
    }

    func testABenchmarkIsRunWithoutScreens() {
        guard case .headless(let request) = Launch(arguments: ["-benchmark", "all", "-iterations", "3"]) else {
            return XCTFail("The app shows its screens.")
        }
        XCTAssertEqual(request.plan.extent, .iterations(3))
    }

    func testWrongArgumentsAreRefused() {
        guard case .refused(let error) = Launch(arguments: ["-benchmark"]) else { return XCTFail("They are taken.") }
        XCTAssertTrue(error.what.contains("-benchmark"))
    }
}

import Foundation
import Testing

@testable import SHViTKit

/// Tests of the scale at which photos are decoded.
struct DecodingPlanTests {
    /// A case of `schemas/vectors/reductions.json`.
    struct Case: Decodable {
        let height: Int
        let width: Int
        let preprocessing: Preprocessing
        let reduction: Int
        let reductionWithOption: Int
    }

    @Test("The rule is that of Python and the Android library")
    func vectors() throws {
        let url = Repository.vectors.appending(path: "reductions.json")
        let cases: [Case] = try Repository.json(url, field: "cases")
        #expect(cases.count > 20)
        for one in cases {
            let preprocessor = try Preprocessor(one.preprocessing)
            #expect(DecodingPlan.reduction(height: one.height, width: one.width) == one.reduction)
            let withOption = DecodingPlan.reduction(height: one.height, width: one.width, for: preprocessor)
            #expect(withOption == one.reductionWithOption, "\(one.height) x \(one.width)")
        }
    }

    @Test("A photo of 48 megapixels is halved, so that decoding takes less than 150 MB")
    func memory() throws {
        let plan = try DecodingPlan(height: 6048, width: 8064)
        #expect((plan.reduction, plan.height, plan.width) == (2, 3024, 4032))
        for side in stride(from: 100, through: 30_000, by: 100) {
            let plan = try DecodingPlan(height: side, width: side)
            #expect(8 * plan.height * plan.width < 150_000_000)
        }
    }

    @Test("The sides of a photo that lies on its side are exchanged before they are compared with the model's")
    func turned() throws {
        var tall = Preprocessing()
        (tall.size, tall.cropRatio, tall.resizeMode) = ([512, 64], 1, .squash)
        // Upright 2048 x 256: a half has twice the height of 512 and twice the width of 64.
        #expect(try DecodingPlan(height: 256, width: 2048, orientation: 6, reducedFor: tall).reduction == 2)
        #expect(try DecodingPlan(height: 256, width: 2048, orientation: 1, reducedFor: tall).reduction == 1)
    }

    @Test("Only a JPEG is decoded at reduced scale because the app allows it")
    func otherFormats() throws {
        let usual = Preprocessing()
        #expect(try DecodingPlan(height: 3024, width: 4032, reducedFor: usual).reduction == 4)
        #expect(try DecodingPlan(height: 3024, width: 4032, isJPEG: false, reducedFor: usual).reduction == 1)
        #expect(try DecodingPlan(height: 6048, width: 8064, isJPEG: false, reducedFor: usual).reduction == 2)
    }

    @Test("A decoder may give one pixel more, and not another scale")
    func check() throws {
        let plan = try DecodingPlan(height: 6047, width: 8063)
        #expect((plan.height, plan.width) == (3023, 4031))
        try plan.check(height: 3024, width: 4032)
        try plan.check(height: 3023, width: 4031)
        for (height, width) in [(6047, 8063), (3025, 4032), (3022, 4031)] {
            #expect(sentence { try plan.check(height: height, width: width) }.hasPrefix("undecodablePicture"))
        }
    }

    @Test(
        "A photo without pixels or with far too many is rejected",
        arguments: [(0, 5), (5, -1), (.max, 2), (40_000, 40_000)])
    func size(height: Int, width: Int) {
        #expect(throws: SHViTError.self) { try DecodingPlan(height: height, width: width) }
    }
}

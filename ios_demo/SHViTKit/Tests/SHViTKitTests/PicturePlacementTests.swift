import Foundation
import Testing

@testable import SHViTKit

/// Tests against `schemas/vectors/placements.json`.
struct PicturePlacementTests {
    struct Vectors: Decodable {
        let cases: [Case]
    }

    struct Case: Decodable, Sendable {
        struct Size: Decodable {
            let width: Int
            let height: Int
        }

        let picture: Size
        let view: Size
        let scaling: String
        let quarterTurns: Int
        let mirrored: Bool
        let box: [Float]
        let expected: [Double]
    }

    static func placement(of example: Case, turns: Int) throws -> ScreenRectangle {
        let scaling = try #require(PicturePlacement.Scaling(rawValue: example.scaling))
        let placement = PicturePlacement(
            width: example.picture.width, height: example.picture.height, scaling: scaling, quarterTurns: turns,
            isMirrored: example.mirrored)
        let box = Box(
            index: 0, score: 1, left: example.box[0], top: example.box[1], right: example.box[2],
            bottom: example.box[3])
        return placement.rectangle(
            of: box, inViewOfWidth: Double(example.view.width), height: Double(example.view.height))
    }

    @Test("Boxes lie in views where the vectors say")
    func vectors() throws {
        let vectors: Vectors = try Repository.json(Repository.vectors.appending(path: "placements.json"))
        #expect(vectors.cases.count == 64)
        for example in vectors.cases {
            for turns in [example.quarterTurns, example.quarterTurns - 4, example.quarterTurns + 4] {
                let place = try Self.placement(of: example, turns: turns)
                let sides = [place.left, place.top, place.right, place.bottom]
                let isNear = zip(sides, example.expected).allSatisfy { abs($0 - $1) < 1e-3 }
                #expect(isNear, "\(example): \(place)")
            }
        }
    }
}

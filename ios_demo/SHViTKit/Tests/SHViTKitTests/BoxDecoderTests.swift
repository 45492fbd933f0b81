import Foundation
import Testing

@testable import SHViTKit

/// Tests against `schemas/vectors/detection.json`.
struct BoxDecoderTests {
    struct Vectors: Decodable {
        let cases: [Case]
    }

    struct Case: Decodable, Sendable, CustomTestStringConvertible {
        struct Size: Decodable {
            let height: Int
            let width: Int
        }
        struct Map: Decodable {
            let shape: [Int]
            let values: [Float]

            var map: RawMap {
                RawMap(channels: shape[0], rows: shape[1], columns: shape[2], values: values)
            }
        }
        struct Expected: Decodable {
            let `class`: Int
            let score: Double
            let corners: [Double]
        }

        let name: String
        let detection: Detection
        let preprocessing: Preprocessing
        let image: Size
        let scores: [Map]
        let boxes: [Map]
        let expected: [Expected]

        var testDescription: String { name }
    }

    static func cases() throws -> [Case] {
        let vectors: Vectors = try Repository.json(Repository.vectors.appending(path: "detection.json"))
        return vectors.cases
    }

    static let points = Detection(strides: [32], boxCoding: .distances, centerOffset: 0.5, nmsIou: 0.3)
    static let input = Preprocessing(size: [32, 64], cropRatio: 1, resizeMode: .squash)

    @Test("Boxes are those of the vectors", arguments: try cases())
    func boxes(of example: Case) throws {
        let decoder = try BoxDecoder(example.detection, preprocessing: example.preprocessing)

        let found = try decoder.boxes(
            scores: example.scores.map(\.map), boxes: example.boxes.map(\.map), height: example.image.height,
            width: example.image.width)

        #expect(found.map(\.index) == example.expected.map(\.class))
        let limit = 1e-4 * Double(max(example.image.height, example.image.width))
        for (box, expected) in zip(found, example.expected) {
            #expect(abs(Double(box.score) - expected.score) < 1e-6)
            for (ours, theirs) in zip([box.left, box.top, box.right, box.bottom], expected.corners) {
                #expect(abs(Double(ours) - theirs) <= limit)
            }
        }
    }

    /// Decodes two positions side by side with equal distances to the four sides.
    private func decode(scores: [Float], distances: [Float]) throws -> [Box] {
        let coded = (0..<8).map { log(distances[$0 % 2] / 32) }
        return try BoxDecoder(Self.points, preprocessing: Self.input).boxes(
            scores: [RawMap(channels: 1, rows: 1, columns: 2, values: scores)],
            boxes: [RawMap(channels: 4, rows: 1, columns: 2, values: coded)], height: 32, width: 64)
    }

    @Test("Of equal scores the first position is kept")
    func ties() throws {
        #expect(try decode(scores: [1, 1], distances: [30, 40]).map(\.right) == [46])
        #expect(try decode(scores: [1, 1.001], distances: [30, 40]).map(\.right) == [64])
        #expect(try decode(scores: [-0.0, 0.0], distances: [30, 40]).map(\.right) == [46])
    }

    @Test("Values that are no numbers give no box")
    func notNumbers() throws {
        #expect(try decode(scores: [2, 1], distances: [.nan, 2]).count == 1)
        #expect(try decode(scores: [.nan, 1], distances: [2, 2]).count == 1)
    }

    @Test(
        "Maps that do not fit the contract are refused",
        arguments: [
            ([], [[4, 1, 2]]), ([[1, 1, 2]], [[4, 1, 2], [4, 1, 2]]), ([[1, 2, 1]], [[4, 1, 2]]),
            ([[1, 1, 2]], [[8, 1, 2]]), ([[0, 1, 2]], [[4, 1, 2]]),
        ])
    func misfits(scores: [[Int]], boxes: [[Int]]) throws {
        let decoder = try BoxDecoder(Self.points, preprocessing: Self.input)
        func maps(_ shapes: [[Int]]) -> [RawMap] {
            shapes.map {
                RawMap(
                    channels: $0[0], rows: $0[1], columns: $0[2],
                    values: [Float](repeating: 0, count: $0.reduce(1, *)))
            }
        }
        #expect(
            sentence { _ = try decoder.boxes(scores: maps(scores), boxes: maps(boxes), height: 9, width: 9) }
                .hasPrefix("runtimeFailure"))
    }

    @Test(
        "A contract out of range is refused",
        arguments: [
            (Detection(strides: [32, 16], boxCoding: .distances), "strides is [32, 16]"),
            (Detection(strides: [16], boxCoding: .deltas), "anchor_scales is []"),
            (Detection(strides: [16], boxCoding: .distances, anchorRatios: [1]), "anchor_ratios is [1.0]"),
            (Detection(strides: [16], boxCoding: .distances, boxMeans: [0]), "box_means is [0.0]"),
            (Detection(strides: [16], boxCoding: .distances, boxStds: [0]), "box_stds is [0.0]"),
            (Detection(strides: [16], boxCoding: .distances, scoreThreshold: .nan), "score_threshold is nan"),
            (Detection(strides: [16], boxCoding: .distances, nmsIou: 2), "nms_iou is 2.0"),
            (Detection(strides: [16], boxCoding: .distances, maxBoxes: 0), "max_boxes is 0"),
        ])
    func senseless(detection: Detection, words: String) {
        #expect(
            sentence { _ = try BoxDecoder(detection, preprocessing: Self.input) }
                .hasPrefix("invalidSettings: The detection's \(words)"))
    }

    @Test("A contract is read as it is written, and unknown fields are refused")
    func reading() throws {
        let encoder = JSONEncoder()
        for example in try Self.cases() {
            let data = try encoder.encode(example.detection)
            #expect(try JSONDecoder().decode(Detection.self, from: data) == example.detection)
        }
        var fields = try JSONDecoder().decode([String: JSONValue].self, from: encoder.encode(Self.points))
        fields["softNms"] = .truth(true)
        let data = try encoder.encode(fields)
        #expect(throws: Fault("soft_nms", "is an unknown field, which could change the boxes")) {
            try JSONDecoder().decode(Detection.self, from: data)
        }
    }
}

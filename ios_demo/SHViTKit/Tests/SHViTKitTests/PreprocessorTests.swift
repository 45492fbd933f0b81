import Foundation
import Testing

@testable import SHViTKit

/// Tests against `schemas/vectors/preprocessing`, computed with Pillow.
struct PreprocessorTests {
    struct Vectors: Decodable {
        let cases: [Case]
    }

    struct Case: Decodable, Sendable, CustomTestStringConvertible {
        struct Picture: Decodable {
            let file: String
            let height: Int
            let width: Int
        }
        struct Pixels: Decodable {
            let file: String
        }

        let name: String
        let picture: Picture
        let preprocessing: Preprocessing
        let pixels: Pixels
        let normalised: [Float]

        var testDescription: String { name }
    }

    static let folder = Repository.vectors.appending(path: "preprocessing")

    static func cases() throws -> [Case] {
        let vectors: Vectors = try Repository.json(folder.appending(path: "cases.json"))
        return vectors.cases
    }

    @Test("Pixels equal Pillow's, bit for bit", arguments: try cases())
    func pixels(of example: Case) throws {
        let picture = try RGBImage(
            height: example.picture.height, width: example.picture.width,
            bytes: Repository.bytes(Self.folder.appending(path: example.picture.file)))
        let preprocessor = try Preprocessor(example.preprocessing)

        let pixels = preprocessor.pixels(of: picture)

        #expect([pixels.height, pixels.width] == example.preprocessing.size)
        let expected = try Repository.bytes(Self.folder.appending(path: example.pixels.file))
        // Compare a count: Swift Testing takes minutes to describe how two long lists differ.
        #expect(zip(pixels.bytes, expected).count { $0 != $1 } == 0)
        let normalized = preprocessor.normalizedValues(of: pixels)
        #expect(normalized.count == expected.count)
        for (ours, theirs) in zip(normalized, example.normalised) {
            #expect(abs(ours - theirs) < 1e-6)
        }
    }

    @Test("The vectors have every combination of options")
    func options() throws {
        let options = try Self.cases().map(\.preprocessing).map {
            "\($0.interpolation) \($0.resizeMode) \($0.channelOrder)"
        }
        #expect(Set(options).count == 4 * 3 * 2)
    }

    @Test(
        "A squashed picture has the size to cover, whatever its proportions",
        arguments: [(1, 1), (9, 4000), (4000, 9)])
    func squashed(height: Int, width: Int) throws {
        let preprocessing = Preprocessing(size: [17, 23], cropRatio: 0.81, resizeMode: .squash)
        #expect(try Preprocessor(preprocessing).resizedSize(height: height, width: width) == (20, 28))
    }

    /// The SHA-256 of Python's `Preprocessing.pixels` for `drawn(height, width)`.
    static let shapes: [(Int, Int, Preprocessing, String)] = [
        (
            3, 2000, Preprocessing(size: [16, 16]),
            "f9853513800e1fdf0cd5f0ea4aa7f8c3fd3a5cb24902b76c64e99423a358505d"
        ),
        (
            1501, 2, Preprocessing(size: [8, 24], interpolation: .lanczos),
            "7c9df8c17b2d5aa3e255e6b72c6316cc8ed6c2765b89ffde350372e825e44f75"
        ),
        (
            2000, 3, Preprocessing(size: [9, 7], cropRatio: 0.6, interpolation: .nearest),
            "efefcc5e585421f292f6242dadbf53fa6ccddaa6756bc99c4df35aedde0384be"
        ),
        (
            37, 53, Preprocessing(size: [31, 47], cropRatio: 0.95, interpolation: .bilinear),
            "58ea34f44f52e39ee04a18083b7008492e548b3539efdcbe9c7b8a051b5823ed"
        ),
    ]

    @Test("Very long pictures are cut to their middle, and odd sizes round as in Python", arguments: shapes)
    func longPictures(height: Int, width: Int, preprocessing: Preprocessing, sha256: String) throws {
        let drawn = (0..<height * width * 3).map { (i: Int) -> UInt8 in UInt8((i * i / 7 + i) % 251) }
        let picture = try RGBImage(height: height, width: width, bytes: drawn)

        let pixels = try Preprocessor(preprocessing).pixels(of: picture)

        #expect(Fingerprint.sha256(of: Data(pixels.bytes)) == sha256)
    }

    static func letterbox(cropRatio: Double = 1, value: [Int]? = [0, 0, 0]) -> Preprocessing {
        Preprocessing(cropRatio: cropRatio, resizeMode: .letterbox, padding: .end, paddingValue: value)
    }

    @Test("A letterbox is written with its padding, and other modes without")
    func paddingIsWritten() throws {
        let letterbox = Self.letterbox(value: [1, 2, 3])
        let written = try JSONEncoder().encode(letterbox)
        #expect(try JSONDecoder().decode(Preprocessing.self, from: written) == letterbox)
        #expect(!String(decoding: try JSONEncoder().encode(Preprocessing()), as: UTF8.self).contains("padding"))
    }

    @Test("A letterbox of a picture after one of another place is padded anew")
    func paddingOfTheNext() throws {
        let preprocessor = try Preprocessor(
            Preprocessing(
                size: [8, 8], cropRatio: 1, resizeMode: .letterbox, padding: .center, paddingValue: [1, 2, 3]))
        func picture(_ height: Int, _ width: Int) throws -> RGBImage {
            try RGBImage(height: height, width: width, bytes: [UInt8](repeating: 200, count: height * width * 3))
        }
        for _ in 0..<2 {
            let wide = try preprocessor.pixels(of: picture(8, 16)).bytes
            let tall = try preprocessor.pixels(of: picture(16, 8)).bytes
            #expect(Array(wide[..<6]) == [1, 2, 3, 1, 2, 3] && wide[8 * 3 * 3] == 200)
            #expect(Array(tall[..<6]) == [1, 2, 3, 1, 2, 3] && tall[8 * 3 * 3] == 1 && tall[8 * 3 * 3 + 9] == 200)
        }
    }

    @Test(
        "Invalid values are rejected",
        arguments: [
            (Preprocessing(size: [0, 224]), "size is [0, 224]"),
            (Preprocessing(size: [224]), "size is [224]"),
            (Preprocessing(cropRatio: 0), "crop_ratio is 0.0"),
            (Preprocessing(cropRatio: .nan), "crop_ratio is nan"),
            (Preprocessing(cropRatio: 1e-300), "crop_ratio is 1e-300"),
            (Preprocessing(size: [2048, 224], cropRatio: 0.4), "crop_ratio is 0.4"),
            (Preprocessing(size: [2049, 224]), "size is [2049, 224]"),
            (Preprocessing(mean: [0.5, 0.5, 116.28]), "mean is [0.5, 0.5, 116.28]"),
            (Preprocessing(std: [58.4, 57.1, 57.4]), "std is [58.4, 57.1, 57.4]"),
            (Preprocessing(mean: [0, 0]), "mean is [0.0, 0.0]"),
            (Preprocessing(std: [1, 1, 0]), "std is [1.0, 1.0, 0.0]"),
            (Preprocessing(padding: .end), "padding is for a letterbox"),
            (Preprocessing(resizeMode: .squash, paddingValue: [0, 0, 0]), "padding_value is for a letterbox"),
            (Preprocessing(cropRatio: 1, resizeMode: .letterbox, paddingValue: [0, 0, 0]), "padding is missing"),
            (PreprocessorTests.letterbox(value: nil), "padding_value is []"),
            (PreprocessorTests.letterbox(value: [0, 0, 256]), "padding_value is [0, 0, 256]"),
            (PreprocessorTests.letterbox(cropRatio: 0.9), "crop_ratio is 0.9, and a letterbox crops nothing"),
        ])
    func senseless(preprocessing: Preprocessing, words: String) {
        #expect(
            sentence { _ = try Preprocessor(preprocessing) }.hasPrefix("invalidSettings: The preprocessing's \(words)"))
    }

    @Test("A missing JSON field has ImageNet's value")
    func defaults() throws {
        let decoded = try JSONDecoder().decode(Preprocessing.self, from: Data("{}".utf8))
        #expect(decoded == Preprocessing())
    }

    @Test("Bytes that do not fit the size are rejected")
    func picture() {
        #expect(
            sentence { _ = try RGBImage(height: 2, width: 2, bytes: [1, 2, 3]) }.hasPrefix("unsupportedInput"))
        #expect(sentence { _ = try RGBImage(height: 0, width: 2, bytes: []) }.hasPrefix("unsupportedInput"))
    }

    /// UIKit names the side on which the picture's top lies in memory; a picture "right" is turned clockwise to stand.
    @Test("Each orientation of UIKit turns a picture as EXIF's of the same name")
    func orientations() throws {
        let stored = try RGBImage(height: 1, width: 2, bytes: [1, 1, 1, 2, 2, 2])
        let upright: [[[UInt8]]] = [
            [[1, 2]], [[2, 1]], [[2], [1]], [[1], [2]], [[2, 1]], [[1, 2]], [[1], [2]], [[2], [1]],
        ]
        for (raw, rows) in upright.enumerated() {
            let picture = stored.upright(from: ExifOrientation.fromUIKit(raw))
            #expect(picture.height == rows.count)
            #expect(picture.width == rows[0].count)
            let expected: [UInt8] = rows.flatMap { row in row.flatMap { [UInt8](repeating: $0, count: 3) } }
            #expect(picture.bytes == expected)
        }
        #expect(ExifOrientation.fromUIKit(8) == 1)
    }

    @Test("The difference of two pictures is the mean over their values")
    func difference() throws {
        let one = try RGBImage(height: 1, width: 2, bytes: [0, 10, 255, 3, 3, 3])
        let other = try RGBImage(height: 1, width: 2, bytes: [6, 10, 249, 3, 3, 3])
        #expect(one.meanDifference(from: other) == 2)
        #expect(one.meanDifference(from: try RGBImage(height: 2, width: 1, bytes: one.bytes)) == nil)
    }

    /// Values from `shvit_mobile.images.layout.space_to_depth`.
    @Test("A space-to-depth input has Python's order")
    func spaceToDepth() throws {
        let pixels = try RGBImage(height: 3, width: 2, bytes: Array(1...18))
        let preprocessor = try Preprocessor(Preprocessing(size: [3, 2]))
        var input: Manifest.Input = try Repository.json(
            Repository.fixtures.appending(path: "goldens/shvit_s1-64-executorch-fp32.manifest.json"), field: "input")

        #expect(preprocessor.tensor(of: pixels, for: input) == preprocessor.rawValues(of: pixels))
        input.values = .normalized
        #expect(preprocessor.tensor(of: pixels, for: input) == preprocessor.normalizedValues(of: pixels))

        input.values = .pixels
        input.layout = .spaceToDepth
        input.border = [100, 200, 250]
        let expected: [Float] = [
            100, 100, 100, 1, 100, 13, 200, 200, 200, 2, 200, 14, 250, 250, 250, 3, 250, 15,
            100, 100, 100, 4, 100, 16, 200, 200, 200, 5, 200, 17, 250, 250, 250, 6, 250, 18,
            100, 100, 100, 7, 100, 100, 200, 200, 200, 8, 200, 200, 250, 250, 250, 9, 250, 250,
            100, 100, 100, 10, 100, 100, 200, 200, 200, 11, 200, 200, 250, 250, 250, 12, 250, 250,
        ]
        #expect(preprocessor.tensor(of: pixels, for: input) == expected)
    }
}

import Foundation
import Testing

@testable import SHViTKit

/// Against `schemas/vectors/preprocessing`, which Pillow made.
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

    @Test("The pixels are Pillow's, bit for bit", arguments: try cases())
    func pixels(of example: Case) throws {
        let picture = try RGBImage(
            height: example.picture.height, width: example.picture.width,
            bytes: Repository.bytes(Self.folder.appending(path: example.picture.file)))
        let preprocessor = try Preprocessor(example.preprocessing)

        let pixels = preprocessor.pixels(of: picture)

        #expect([pixels.height, pixels.width] == example.preprocessing.size)
        let expected = try Repository.bytes(Self.folder.appending(path: example.pixels.file))
        #expect(pixels.bytes == expected)
        let normalised = preprocessor.normalised(pixels)
        #expect(normalised.count == expected.count)
        for (ours, theirs) in zip(normalised, example.normalised) {
            #expect(abs(ours - theirs) < 1e-6)
        }
    }
}

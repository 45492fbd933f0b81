import Foundation
import Testing

@testable import SHViTKit

/// Tests of rotated pictures and of memory layouts.
struct PicturesTests {
    /// Returns two rows of three numbered pixels.
    static func numbered() throws -> RGBImage {
        try RGBImage(height: 2, width: 3, bytes: (0..<6).flatMap { [UInt8](repeating: $0, count: 3) })
    }

    /// Pillow's result for 0 1 2 / 3 4 5 with the index as EXIF orientation; 0 and 9 are invalid.
    static let upright: [[[UInt8]]] = [
        [[0, 1, 2], [3, 4, 5]],
        [[0, 1, 2], [3, 4, 5]],
        [[2, 1, 0], [5, 4, 3]],
        [[5, 4, 3], [2, 1, 0]],
        [[3, 4, 5], [0, 1, 2]],
        [[0, 3], [1, 4], [2, 5]],
        [[3, 0], [4, 1], [5, 2]],
        [[5, 2], [4, 1], [3, 0]],
        [[2, 5], [1, 4], [0, 3]],
        [[0, 1, 2], [3, 4, 5]],
    ]

    @Test("A picture is rotated as by Pillow", arguments: 0...9)
    func upright(orientation: Int) throws {
        let expected = Self.upright[orientation]
        let picture = try Self.numbered().upright(from: orientation)
        #expect(picture.height == expected.count)
        #expect(picture.width == expected[0].count)
        #expect(picture.bytes == expected.flatMap { $0 }.flatMap { [UInt8](repeating: $0, count: 3) })
    }

    @Test("Row padding and the fourth sample are skipped")
    func read() throws {
        // Two rows of one pixel, four bytes of padding each.
        let memory: [UInt8] = [1, 2, 3, 99, 7, 7, 7, 7, 4, 5, 6, 99, 7, 7, 7, 7]
        func bytes(_ layout: PixelLayout) throws -> [UInt8] {
            try memory.withUnsafeBytes {
                RGBImage(try PictureMemory($0, height: 2, width: 1, bytesPerRow: 8, layout: layout)).bytes
            }
        }
        #expect(try bytes(.rgba) == [1, 2, 3, 4, 5, 6])
        #expect(try bytes(.bgra) == [3, 2, 1, 6, 5, 4])
        #expect(try bytes(.gray) == [1, 1, 1, 4, 4, 4])
    }

    @Test("A part of a picture in memory is copied upright", arguments: 1...8)
    func copied(orientation: Int) throws {
        let whole = try Self.numbered()
        // A row and a column more, as a decoder gives at reduced scale, and padding.
        var memory = [UInt8](repeating: 99, count: 3 * 20)
        for (row, column) in (0..<2).flatMap({ row in (0..<3).map { (row, $0) } }) {
            for channel in 0..<3 { memory[row * 20 + column * 4 + channel] = UInt8(row * 3 + column) }
        }
        let copy = try memory.withUnsafeBytes { bytes in
            RGBImage(
                try PictureMemory(
                    bytes, height: 2, width: 3, bytesPerRow: 20, layout: .rgba, orientation: orientation),
                reduction: 2)
        }
        #expect(copy.bytes == whole.upright(from: orientation).bytes)
        #expect(copy.reduction == 2)
        #expect(whole.reduction == 1)
    }

    @Test("A picture for Core ML is opaque, and padding is not written")
    func written() throws {
        let picture = try RGBImage(height: 2, width: 1, bytes: [1, 2, 3, 4, 5, 6])
        var memory = [UInt8](repeating: 7, count: 16)
        memory.withUnsafeMutableBytes { picture.write(into: $0, bytesPerRow: 8, layout: .bgra) }
        #expect(memory == [3, 2, 1, 255, 7, 7, 7, 7, 6, 5, 4, 255, 7, 7, 7, 7])
    }
}

import Foundation
import Testing

@testable import SHViTKit

/// Tests of pictures that are read where they are: the result equals that of the copied, upright picture.
struct PassesTests {
    /// Returns noise that differs in every byte.
    static func noise(_ count: Int) -> [UInt8] {
        var state: UInt32 = 7
        return (0..<count).map { _ in
            state = state &* 1_664_525 &+ 1_013_904_223
            return UInt8(state >> 24)
        }
    }

    static let contracts = [
        Preprocessing(size: [32, 32]),
        Preprocessing(size: [17, 41], cropRatio: 0.7, interpolation: .lanczos, channelOrder: .bgr),
        Preprocessing(size: [24, 16], cropRatio: 1, interpolation: .nearest, resizeMode: .squash),
        Preprocessing(size: [8, 8], interpolation: .bilinear),
    ]

    @Test(
        "A frame in memory gives the pixels of its upright copy, for every orientation and layout", arguments: 1...8)
    func packed(orientation: Int) throws {
        for (height, width) in [(97, 53), (40, 120), (3, 700), (5, 5)] {
            for layout in [PixelLayout.bgra, .rgba, .rgb, .gray] {
                let bytesPerRow = width * layout.stride + 12
                let frame = Self.noise(height * bytesPerRow)
                try frame.withUnsafeBytes { bytes in
                    let memory = try PictureMemory(
                        bytes, height: height, width: width, bytesPerRow: bytesPerRow, layout: layout,
                        orientation: orientation)
                    let stored = PictureMemory(
                        valid: memory.pixels, height: height, width: width, orientation: 1)
                    let copy = RGBImage(stored).upright(from: orientation)
                    for preprocessing in Self.contracts {
                        let preprocessor = try Preprocessor(preprocessing)
                        #expect(preprocessor.pixels(of: memory) == preprocessor.pixels(of: copy))
                    }
                }
            }
        }
    }

    /// Returns a frame's color by the formula of BT.601 or BT.709, in double precision.
    static func color(_ y: Double, _ u: Double, _ v: Double, isFull: Bool, isHD: Bool) -> [Double] {
        let (r, b) = isHD ? (0.2126, 0.0722) : (0.299, 0.114)
        let light = isFull ? y : (y - 16) * 255 / 219
        let (cb, cr) = isFull ? (u - 128, v - 128) : ((u - 128) * 255 / 224, (v - 128) * 255 / 224)
        let (red, blue) = (light + 2 * (1 - r) * cr, light + 2 * (1 - b) * cb)
        let green = light - (r * (red - light) + b * (blue - light)) / (1 - r - b)
        return [red, green, blue].map { min(max($0, 0), 255) }
    }

    @Test("A frame in two planes gives the pixels of its converted copy", arguments: [true, false], [true, false])
    func biplanar(isFull: Bool, isHD: Bool) throws {
        for (height, width) in [(96, 128), (51, 33)] {
            let (lumaRow, chromaRow) = (width + 7, (width + 1) / 2 * 2 + 10)
            let luma = Self.noise(height * lumaRow)
            let chroma = Self.noise((height + 1) / 2 * chromaRow + 1).dropFirst()
            let converted = (0..<height).flatMap { row in
                (0..<width).flatMap { column in
                    let pair = chroma.startIndex + row / 2 * chromaRow + column / 2 * 2
                    return Self.color(
                        Double(luma[row * lumaRow + column]), Double(chroma[pair]), Double(chroma[pair + 1]),
                        isFull: isFull, isHD: isHD)
                }
            }
            let preprocessor = try Preprocessor(Preprocessing(size: [height, width], cropRatio: 1))
            try luma.withUnsafeBytes { luma in
                try Array(chroma).withUnsafeBytes { chroma in
                    func memory(_ orientation: Int) throws -> PictureMemory {
                        try PictureMemory(
                            luma: luma, bytesPerRow: lumaRow, chroma: chroma, chromaBytesPerRow: chromaRow,
                            height: height, width: width,
                            conversion: .init(isFullRange: isFull, isHD: isHD), orientation: orientation)
                    }
                    let whole = preprocessor.pixels(of: try memory(1))
                    #expect(zip(whole.bytes, converted).allSatisfy { abs(Double($0) - $1) <= 0.502 })
                    for orientation in 2...8 {
                        let small = try Preprocessor(Self.contracts[0])
                        #expect(
                            small.pixels(of: try memory(orientation))
                                == small.pixels(of: whole.upright(from: orientation)))
                    }
                }
            }
        }
    }

    @Test("Memory that is too small for its rows is rejected")
    func tooSmall() throws {
        let bytes = Self.noise(100)
        try bytes.withUnsafeBytes { bytes in
            _ = try PictureMemory(bytes, height: 5, width: 5, bytesPerRow: 20, layout: .bgra)
            // The last row needs no padding.
            _ = try PictureMemory(bytes, height: 4, width: 5, bytesPerRow: 26, layout: .bgra)
            for (height, width, bytesPerRow) in [(6, 5, 20), (5, 5, 19), (0, 5, 20), (5, 0, 20)] {
                #expect(throws: SHViTError.self) {
                    try PictureMemory(bytes, height: height, width: width, bytesPerRow: bytesPerRow, layout: .bgra)
                }
            }
            #expect(throws: SHViTError.self) {
                try PictureMemory(
                    luma: bytes, bytesPerRow: 10, chroma: UnsafeRawBufferPointer(rebasing: bytes[..<49]),
                    chromaBytesPerRow: 10, height: 10, width: 10, conversion: .init(isFullRange: true))
            }
        }
    }

    @Test("Frames of one size share one buffer; a result that is still used is not overwritten")
    func pooled() throws {
        let preprocessor = try Preprocessor(Self.contracts[0])
        func pixels(_ value: UInt8) throws -> RGBImage {
            try [UInt8](repeating: value, count: 64 * 64 * 4).withUnsafeBytes { bytes in
                preprocessor.pixels(
                    of: try PictureMemory(bytes, height: 64, width: 64, bytesPerRow: 256, layout: .bgra))
            }
        }
        func place(_ value: UInt8) throws -> UnsafeRawPointer? {
            try pixels(value).bytes.withUnsafeBytes { $0.baseAddress }
        }
        let first = try place(1)
        for value in 2...9 { #expect(try place(UInt8(value)) == first) }
        #expect(preprocessor.passes.made == 1)
        let kept = try pixels(10)
        #expect(try pixels(20).bytes.allSatisfy { $0 == 20 })
        #expect(kept.bytes.allSatisfy { $0 == 10 })
    }

    @Test("Two pictures at once have buffers of their own")
    func concurrent() async throws {
        let preprocessor = try Preprocessor(Self.contracts[1])
        let picture = try RGBImage(height: 90, width: 120, bytes: Self.noise(90 * 120 * 3))
        let expected = preprocessor.pixels(of: picture)
        await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<16 { group.addTask { preprocessor.pixels(of: picture) == expected } }
            for await isEqual in group { #expect(isEqual) }
        }
    }

    @Test("A camera's pixel formats have Core Video's codes")
    func formats() {
        for (format, code) in [(CameraFormat.bgra, "BGRA"), (.videoRange, "420v"), (.fullRange, "420f")] {
            #expect(format.rawValue == code.utf8.reduce(0) { $0 << 8 | UInt32($1) })
        }
    }
}

@_spi(Checks) import CoreVideo
import Foundation

@testable import SHViTKit

typealias Check = (name: String, body: @MainActor () async throws -> Void)

/// A picture in which no row, column or color equals another.
let scene = pattern(height: 53, width: 37)
let preprocessor: Preprocessor = {
    do { return try Preprocessor(Preprocessing(size: [24, 24])) } catch { fatalError("\(error)") }
}()

func pattern(height: Int, width: Int) -> RGBImage {
    var bytes: [UInt8] = []
    for row in 0..<height {
        for column in 0..<width {
            for color in 0..<3 { bytes.append(UInt8(truncatingIfNeeded: row * 3 + column * 5 + color * 80)) }
        }
    }
    return RGBImage(height, width, bytes)
}

let planarFormats = [
    (kCVPixelFormatType_420YpCbCr8BiPlanarFullRange, true), (kCVPixelFormatType_420YpCbCr8BiPlanarVideoRange, false),
]

@MainActor let frameChecks: [Check] = [
    (
        "a BGRA frame with padded rows, in every orientation",
        {
            let stored = CVPixelBuffer(format: kCVPixelFormatType_32BGRA, width: scene.width, height: scene.height)
            stored[0] = blueFirst(scene, fourth: 9)
            for orientation in 1...8 {
                let pixels = try preprocessor.pixels(of: CameraFrame(stored, orientation: orientation))
                expect(
                    pixels == preprocessor.pixels(of: scene.upright(from: orientation)),
                    "A frame of orientation \(orientation) gives other pixels.")
                expect(!stored.isLocked, "A frame stays locked after it was read.")
            }
            expect(stored[0] == blueFirst(scene, fourth: 9), "Reading a frame changed it.")
        }
    ),
    (
        "frames in two planes: both ranges, both matrices, odd sizes",
        {
            for planes in [Planes(height: 52, width: 36), Planes(height: 53, width: 37)] {
                for (format, isFullRange) in planarFormats {
                    for matrix in [nil, kCVImageBufferYCbCrMatrix_ITU_R_601_4, kCVImageBufferYCbCrMatrix_ITU_R_709_2] {
                        try checkPlanes(planes, format, isFullRange: isFullRange, matrix: matrix)
                    }
                }
            }
            let red = CVPixelBuffer(format: kCVPixelFormatType_420YpCbCr8BiPlanarFullRange, width: 32, height: 32)
            red.fillRows(0..<32, of: 0, with: [76])
            red.fillRows(0..<16, of: 1, with: [85, 255])
            let pixel = try preprocessor.pixels(of: CameraFrame(red)).bytes.prefix(3)
            expect(Array(pixel) == [254, 0, 0], "A red frame in two planes has the color \(Array(pixel)).")
        }
    ),
    (
        "frames of more than two gigabytes",
        {
            try checkHuge(kCVPixelFormatType_32BGRA, height: 15_000_000, colors: [[10, 200, 90, 0]])
            try checkHuge(
                kCVPixelFormatType_420YpCbCr8BiPlanarFullRange, height: 40_000_000, colors: [[120], [200, 90]])
        }
    ),
    (
        "a frame of another format, and one that cannot be locked",
        {
            for format in [kCVPixelFormatType_32RGBA, 24] {
                let frame = CVPixelBuffer(format: format, width: 32, height: 32)
                expect((try? preprocessor.pixels(of: CameraFrame(frame))) == nil, "The pixel format \(format) is read.")
                expect(!frame.isLocked, "A frame of another format stays locked.")
            }
            let broken = CVPixelBuffer(format: kCVPixelFormatType_32BGRA, width: 32, height: 32)
            broken.lockResult = -6660
            expect((try? preprocessor.pixels(of: CameraFrame(broken))) == nil, "A frame that cannot be locked is read.")
        }
    ),
]

/// A picture's bytes in the order of 32BGRA.
func blueFirst(_ picture: RGBImage, fourth: UInt8) -> [UInt8] {
    var bytes: [UInt8] = []
    for color in colors(of: picture) { bytes += [color.z, color.y, color.x, fourth] }
    return bytes
}

/// A picture's colors as red, green and blue.
func colors(of picture: RGBImage) -> [SIMD3<UInt8>] {
    var colors: [SIMD3<UInt8>] = []
    for place in stride(from: 0, to: picture.bytes.count, by: 3) {
        colors.append(SIMD3(picture.bytes[place], picture.bytes[place + 1], picture.bytes[place + 2]))
    }
    return colors
}

/// The samples of a frame in two planes, without padding.
struct Planes {
    let height: Int
    let width: Int
    let luma: [UInt8]
    let chroma: [UInt8]
    /// The bytes of a row of color.
    var side: Int { (width + 1) / 2 * 2 }

    init(height: Int, width: Int) {
        let side = (width + 1) / 2 * 2
        var (luma, chroma): ([UInt8], [UInt8]) = ([], [])
        for row in 0..<height {
            for column in 0..<width { luma.append(UInt8(truncatingIfNeeded: row * 4 + column * 3)) }
        }
        for row in 0..<(height + 1) / 2 {
            for pair in 0..<side / 2 {
                chroma += [UInt8(truncatingIfNeeded: row * 9), UInt8(truncatingIfNeeded: 255 - pair * 13)]
            }
        }
        (self.height, self.width, self.luma, self.chroma) = (height, width, luma, chroma)
    }

    /// The pixels that a model sees of them.
    func pixels(conversion: PictureMemory.Conversion, orientation: Int) throws -> RGBImage {
        try luma.withUnsafeBytes { luma in
            try chroma.withUnsafeBytes { chroma in
                let memory = try PictureMemory(
                    luma: luma, bytesPerRow: width, chroma: chroma, chromaBytesPerRow: side, height: height,
                    width: width, conversion: conversion, orientation: orientation)
                return preprocessor.pixels(of: memory)
            }
        }
    }
}

/// Reads frames in two planes of every kind, and compares their pixels.
@MainActor
func checkPlanes(_ planes: Planes, _ format: OSType, isFullRange: Bool, matrix: String?) throws {
    let stored = CVPixelBuffer(format: format, width: planes.width, height: planes.height)
    (stored[0], stored[1], stored.matrix) = (planes.luma, planes.chroma, matrix)
    let isHD = matrix == kCVImageBufferYCbCrMatrix_ITU_R_709_2
    let conversion = PictureMemory.Conversion(isFullRange: isFullRange, isHD: isHD)
    for orientation in [1, 6] {
        let pixels = try preprocessor.pixels(of: CameraFrame(stored, orientation: orientation))
        expect(
            try pixels == planes.pixels(conversion: conversion, orientation: orientation),
            "A frame in two planes (full range: \(isFullRange), \(matrix ?? "no matrix")) gives other pixels.")
        expect(!stored.isLocked, "A frame in two planes stays locked.")
    }
}

/// Reads a huge frame, of which the model sees the middle.
@MainActor
func checkHuge(_ format: OSType, height: Int, colors: [[UInt8]]) throws {
    let huge = CVPixelBuffer(format: format, width: 64, height: height, isNoisy: false)
    let middle = CVPixelBuffer(format: format, width: 64, height: 4096)
    for (plane, color) in colors.enumerated() {
        let (rows, half) = (plane == 0 ? height : height / 2, plane == 0 ? 2200 : 1100)
        huge.fillRows(rows / 2 - half..<rows / 2 + half, of: plane, with: color)
        middle.fillRows(0..<(plane == 0 ? 4096 : 2048), of: plane, with: color)
    }
    for orientation in [1, 6] {
        let pixels = try preprocessor.pixels(of: CameraFrame(huge, orientation: orientation))
        let expected = try preprocessor.pixels(of: CameraFrame(middle, orientation: orientation))
        expect(pixels == expected, "The middle of a huge frame gives other pixels.")
    }
}

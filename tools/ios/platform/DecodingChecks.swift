@_spi(Checks) import CoreGraphics
import Foundation
@_spi(Checks) import ImageIO

@testable import SHViTKit

@MainActor let decodingChecks: [Check] = [
    (
        "photos in every orientation",
        {
            for orientation in [nil] + (1...8).map({ $0 }) {
                let file = file(of: image(of: scene), orientation: orientation)
                expect(
                    try RGBImage(decoding: file) == scene.upright(from: orientation ?? 1),
                    "A photo of orientation \(orientation ?? 0) is decoded into other pixels.")
                guard let orientation, let value = CGImagePropertyOrientation(rawValue: UInt32(orientation)) else {
                    continue
                }
                expect(
                    try RGBImage(image(of: scene), orientation: value) == scene.upright(from: orientation),
                    "A decoded image of orientation \(orientation) gives other pixels.")
            }
        }
    ),
    (
        "the orientations of UIKit, whose raw values are others than EXIF's",
        {
            // In the order of `UIImage.Orientation`.
            let orientations: [CGImagePropertyOrientation] = [
                .up, .down, .left, .right, .upMirrored, .downMirrored, .leftMirrored, .rightMirrored,
            ]
            for (value, orientation) in orientations.enumerated() {
                expect(
                    ExifOrientation.fromUIKit(value) == Int(orientation.rawValue),
                    "UIKit's orientation \(value) becomes \(ExifOrientation.fromUIKit(value)).")
            }
        }
    ),
    (
        "gray and transparent photos",
        {
            let gray = RGBImage(
                scene.height, scene.width,
                scene.bytes.indices.map { scene.bytes[$0 / 3 * 3] })
            let stored = image(of: gray, space: CGColorSpaceCreateDeviceGray())
            expect(try RGBImage(decoding: file(of: stored)) == gray, "A gray photo gives other pixels.")
            let clear = CGImage(
                width: 2, height: 1, pixels: [SIMD4(1, 2, 3, 0), SIMD4(4, 5, 6, 255)],
                colorSpace: CGColorSpaceCreateDeviceRGB(), alphaInfo: .last)
            expect(
                try RGBImage(decoding: file(of: clear)).bytes == [255, 255, 255, 4, 5, 6],
                "A transparent photo is not laid on white.")
        }
    ),
    ("photos with a color profile, and palettes", checkProfiles),
    ("photos in four colors, and in floating-point values", checkOtherColors),
    ("photos at reduced scale", checkReducedScale),
    (
        "files that are no pictures, damaged, or too large",
        {
            expect((try? RGBImage(decoding: Data([1, 2, 3]))) == nil, "Data that is no image is decoded.")
            // Sizes whose product does not fit into 32 or 64 bits; decoding them would need gigabytes.
            for (width, height) in [(65_536, 65_536), (65_537, 65_537), (1 << 33, 1 << 33), (32_776, 32_768)] {
                let file = Data("\(width) x \(height)".utf8)
                EncodedPicture[file] = EncodedPicture(width: width, height: height, image: nil)
                expect((try? RGBImage(decoding: file)) == nil, "A photo of \(width) x \(height) pixels is decoded.")
            }
        }
    ),
]

func image(of picture: RGBImage, space: CGColorSpace? = CGColorSpaceCreateDeviceRGB()) -> CGImage {
    let pixels = colors(of: picture).map { SIMD4($0, 255) }
    return CGImage(width: picture.width, height: picture.height, pixels: pixels, colorSpace: space)
}

/// Returns the bytes of a new file with that image.
func file(of image: CGImage, orientation: Int? = nil, start: [UInt8] = []) -> Data {
    let file = Data(start) + Data(UUID().uuidString.utf8)
    EncodedPicture[file] = EncodedPicture(
        width: image.width, height: image.height, orientation: orientation, image: image)
    return file
}

/// A stub's context gives other values where the color spaces differ.
@MainActor func checkProfiles() throws {
    for name in ["Display P3", "Adobe RGB", "a scanner's table"] {
        let stored = image(of: scene, space: CGColorSpace(name: name, model: .rgb))
        expect(try RGBImage(decoding: file(of: stored)) == scene, "A photo in \(name) is converted.")
        expect(try RGBImage(stored) == scene, "A decoded image in \(name) is converted.")
    }
    let wide = CGColorSpace(name: "Display P3", model: .rgb)
    let table = [UInt8](repeating: 0, count: 768)
    let palette = image(of: scene, space: CGColorSpace(indexedBaseSpace: wide, last: 255, colorTable: table))
    expect(try RGBImage(decoding: file(of: palette)) == scene, "A palette in Display P3 is converted.")
}

@MainActor func checkOtherColors() {
    let four = image(of: scene, space: CGColorSpace(name: "a printer's", model: .cmyk))
    expect((try? RGBImage(decoding: file(of: four))) == nil, "A photo in CMYK is decoded.")
    let floating = CGImage(
        width: 1, height: 1, pixels: [SIMD4(1, 2, 3, 255)], colorSpace: CGColorSpaceCreateDeviceRGB(),
        bitmapInfo: .floatComponents)
    expect((try? RGBImage(floating)) == nil, "An image of floating-point values is read.")
    expect((try? RGBImage(image(of: scene, space: nil))) == nil, "A mask is read.")
}

@MainActor func checkReducedScale() throws {
    let model = Preprocessing(size: [4, 4], cropRatio: 1)
    let small = pattern(height: 11, width: 19)
    // Each pixel is a block of 2 x 2.
    var bytes: [UInt8] = []
    for row in 0..<22 {
        for column in 0..<38 {
            let place = (row / 2 * 19 + column / 2) * 3
            bytes += small.bytes[place..<place + 3]
        }
    }
    let whole = RGBImage(22, 38, bytes)
    for orientation in 1...8 {
        let photo = file(of: image(of: whole), orientation: orientation, start: [0xFF, 0xD8, 0xFF])
        let reduced = try RGBImage(decoding: photo, reducedFor: model)
        expect(reduced.reduction == 2, "A JPEG is not decoded at reduced scale.")
        expect(
            reduced.bytes == small.upright(from: orientation).bytes,
            "A JPEG of orientation \(orientation) has other pixels at reduced scale.")
        expect(try RGBImage(decoding: photo).reduction == 1, "A JPEG is reduced without the option.")
    }
    let other = try RGBImage(decoding: file(of: image(of: whole)), reducedFor: model)
    expect(other.reduction == 1, "A picture of another format is decoded at reduced scale.")
}

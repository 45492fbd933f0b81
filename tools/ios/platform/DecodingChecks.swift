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
    (
        "files that are no pictures, damaged, or too large",
        {
            expect((try? RGBImage(decoding: Data([1, 2, 3]))) == nil, "Data that is no image is decoded.")
            // Sizes whose product does not fit into 32 or 64 bits; decoding them would need gigabytes.
            for (width, height) in [(65_536, 65_536), (65_537, 65_537), (1 << 33, 1 << 33), (10_001, 10_000)] {
                let file = Data("\(width) x \(height)".utf8)
                EncodedPicture[file] = EncodedPicture(width: width, height: height, image: nil)
                expect((try? RGBImage(decoding: file)) == nil, "A photo of \(width) x \(height) pixels is decoded.")
            }
        }
    ),
]

func image(of picture: RGBImage, space: CGColorSpace = CGColorSpaceCreateDeviceRGB()) -> CGImage {
    let pixels = colors(of: picture).map { SIMD4($0, 255) }
    return CGImage(width: picture.width, height: picture.height, pixels: pixels, colorSpace: space)
}

/// Returns the bytes of a new file with that image.
func file(of image: CGImage, orientation: Int? = nil) -> Data {
    let file = Data(UUID().uuidString.utf8)
    EncodedPicture[file] = EncodedPicture(
        width: image.width, height: image.height, orientation: orientation, image: image)
    return file
}

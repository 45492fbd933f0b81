#if canImport(ImageIO)
    import CoreGraphics
    import Foundation
    import ImageIO

    extension RGBImage {
        private static let mostPixels = 100_000_000

        /// An encoded picture as `shvit_mobile.images.decode` reads it in Python: upright, without its colour profile
        /// applied, on white where it is transparent; of an animation the first frame.
        ///
        /// - Throws: `SHViTError` where it is no picture, or has more than 100 million pixels.
        public init(decoding data: Data) throws(SHViTError) {
            guard let source = CGImageSourceCreateWithData(data as CFData, nil),
                let properties = CGImageSourceCopyPropertiesAtIndex(source, 0, nil) as? [CFString: Any]
            else {
                throw SHViTError("That is no picture.", why: "The system knows no such format.", next: Self.another)
            }
            func number(_ key: CFString) -> Int? { (properties[key] as? NSNumber)?.intValue }
            let pixels = (number(kCGImagePropertyPixelWidth) ?? 0) * (number(kCGImagePropertyPixelHeight) ?? 0)
            guard pixels <= Self.mostPixels else {
                throw SHViTError(
                    "The picture has \(pixels) pixels.", why: "100 million are the most.", next: Self.another)
            }
            guard let image = CGImageSourceCreateImageAtIndex(source, 0, nil) else {
                throw SHViTError("The picture is damaged.", why: "It cannot be decoded.", next: Self.another)
            }
            self = try Self.drawn(image).upright(from: number(kCGImagePropertyOrientation) ?? 1)
        }

        /// A picture of the system's.
        ///
        /// - Parameters:
        ///   - image: decoded already.
        ///   - orientation: in which it was taken.
        public init(_ image: CGImage, orientation: CGImagePropertyOrientation = .up) throws(SHViTError) {
            self = try Self.drawn(image).upright(from: Int(orientation.rawValue))
        }

        /// The values of a picture as they are stored.
        private static func drawn(_ image: CGImage) throws(SHViTError) -> RGBImage {
            // In the device's colour space on both sides, no value is converted.
            let isGrey = image.colorSpace?.model == .monochrome
            let space = isGrey ? CGColorSpaceCreateDeviceGray() : CGColorSpaceCreateDeviceRGB()
            let isPlain = image.colorSpace?.numberOfComponents == space.numberOfComponents
            let plain = isPlain ? image.copy(colorSpace: space) ?? image : image

            let layout = isGrey ? PixelLayout.grey : .rgba
            let alpha = isGrey ? CGImageAlphaInfo.none : .noneSkipLast
            let (height, width) = (image.height, image.width)
            // White, which shows where the picture is transparent.
            var memory = [UInt8](repeating: 255, count: height * width * layout.stride)
            let isDrawn = memory.withUnsafeMutableBytes { memory in
                let context = CGContext(
                    data: memory.baseAddress, width: width, height: height, bitsPerComponent: 8,
                    bytesPerRow: width * layout.stride, space: space, bitmapInfo: alpha.rawValue)
                context?.draw(plain, in: CGRect(x: 0, y: 0, width: width, height: height))
                return context != nil
            }
            guard isDrawn else {
                throw SHViTError("A picture of \(height) x \(width) pixels cannot be drawn.", next: another)
            }
            return memory.withUnsafeBytes { memory in
                RGBImage(memory, height: height, width: width, bytesPerRow: width * layout.stride, layout: layout)
            }
        }

        private static var another: String { "Choose another picture." }
    }
#endif

#if canImport(UIKit)
    import UIKit

    extension RGBImage {
        /// A picture of the app's, upright.
        ///
        /// - Throws: `SHViTError` where there is no bitmap behind it.
        public init(_ picture: UIImage) throws(SHViTError) {
            guard let image = picture.cgImage else {
                throw SHViTError("The picture has no pixels.", why: "It was not drawn yet.")
            }
            try self.init(image, orientation: CGImagePropertyOrientation(picture.imageOrientation))
        }
    }

    extension CGImagePropertyOrientation {
        /// The same orientation, which UIKit numbers differently.
        init(_ orientation: UIImage.Orientation) {
            self =
                switch orientation {
                case .up: .up
                case .down: .down
                case .left: .left
                case .right: .right
                case .upMirrored: .upMirrored
                case .downMirrored: .downMirrored
                case .leftMirrored: .leftMirrored
                case .rightMirrored: .rightMirrored
                @unknown default: .up
                }
        }
    }
#endif

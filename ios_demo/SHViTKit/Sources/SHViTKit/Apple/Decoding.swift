#if canImport(ImageIO)
    import CoreGraphics
    import Foundation
    import ImageIO

    extension RGBImage {
        /// Decodes an encoded image exactly as `shvit_mobile.images.decode` does in Python.
        ///
        /// The picture is upright. Its color profile is not applied, transparency is laid on white, and an animation
        /// gives its first frame.
        ///
        /// - Throws: `SHViTError` if the data is not an image, or has more than 100 million pixels.
        public init(decoding data: Data) throws(SHViTError) {
            guard let source = CGImageSourceCreateWithData(data as CFData, nil),
                let properties = CGImageSourceCopyPropertiesAtIndex(source, 0, nil) as? [CFString: Any]
            else {
                throw SHViTError.undecodablePicture(
                    "The data is not an image.", why: "The system does not know its format.", next: Self.another)
            }
            func number(_ key: CFString) -> Int? { (properties[key] as? NSNumber)?.intValue }
            try Self.checkSize(
                width: number(kCGImagePropertyPixelWidth) ?? 0, height: number(kCGImagePropertyPixelHeight) ?? 0)
            guard let image = CGImageSourceCreateImageAtIndex(source, 0, nil) else {
                throw SHViTError.undecodablePicture(
                    "The picture cannot be decoded.", why: "The file may be damaged.", next: Self.another)
            }
            self = try Self.storedPixels(of: image).upright(from: number(kCGImagePropertyOrientation) ?? 1)
        }

        /// Converts a decoded image.
        ///
        /// - Parameters:
        ///   - image: The decoded image.
        ///   - orientation: The orientation in which it was taken.
        public init(_ image: CGImage, orientation: CGImagePropertyOrientation = .up) throws(SHViTError) {
            self = try Self.storedPixels(of: image).upright(from: Int(orientation.rawValue))
        }

        /// Returns an image's stored pixel values.
        private static func storedPixels(of image: CGImage) throws(SHViTError) -> RGBImage {
            // With the device's color space on both sides, no value is converted.
            let isGray = image.colorSpace?.model == .monochrome
            let space = isGray ? CGColorSpaceCreateDeviceGray() : CGColorSpaceCreateDeviceRGB()
            let isPlain = image.colorSpace?.numberOfComponents == space.numberOfComponents
            let plain = isPlain ? image.copy(colorSpace: space) ?? image : image

            let layout = isGray ? PixelLayout.gray : .rgba
            let alpha = isGray ? CGImageAlphaInfo.none : .noneSkipLast
            let (height, width) = (image.height, image.width)
            // White, which shows through where the image is transparent.
            var memory = [UInt8](repeating: 255, count: height * width * layout.stride)
            let isDrawn = memory.withUnsafeMutableBytes { memory in
                let context = CGContext(
                    data: memory.baseAddress, width: width, height: height, bitsPerComponent: 8,
                    bytesPerRow: width * layout.stride, space: space, bitmapInfo: alpha.rawValue)
                context?.draw(plain, in: CGRect(x: 0, y: 0, width: width, height: height))
                return context != nil
            }
            guard isDrawn else {
                throw SHViTError.undecodablePicture(
                    "A picture of \(height) x \(width) pixels cannot be drawn.", next: another)
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
        /// Converts a `UIImage` into an upright picture.
        ///
        /// - Throws: `SHViTError` if it has no bitmap.
        public init(_ picture: UIImage) throws(SHViTError) {
            guard let image = picture.cgImage else {
                throw SHViTError.unsupportedInput("The picture has no pixels.", why: "It has not been drawn yet.")
            }
            // UIKit's orientations have other raw values than EXIF's.
            let orientation = ExifOrientation.fromUIKit(picture.imageOrientation.rawValue)
            try self.init(image, orientation: CGImagePropertyOrientation(rawValue: UInt32(orientation)) ?? .up)
        }
    }
#endif

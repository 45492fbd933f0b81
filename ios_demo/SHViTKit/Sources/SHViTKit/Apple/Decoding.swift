#if canImport(ImageIO)
    import CoreGraphics
    import Foundation
    import ImageIO

    extension RGBImage {
        /// Decodes an encoded image as `shvit_mobile.images.decode` does in Python.
        ///
        /// The picture is upright. Its values are those that the file stores: no color profile, such as Display P3, is
        /// applied. Transparency is laid on white, and an animation gives its first frame. A photo of more than 2^24
        /// pixels is decoded at reduced scale, so that decoding takes less than 150 MB: see `reduction`.
        ///
        /// - Parameters:
        ///   - data: The image file.
        ///   - preprocessing: The preprocessing of the model, if a JPEG may be decoded at reduced scale to save time.
        ///     Then its sides stay at least twice as long as the model needs them (default: it may not).
        /// - Throws: `SHViTError` if the data is not an image, has four colors (CMYK) or floating-point values, or more
        ///   pixels than fit at an eighth of its scale.
        public init(decoding data: Data, reducedFor preprocessing: Preprocessing? = nil) throws(SHViTError) {
            guard let source = CGImageSourceCreateWithData(data as CFData, nil),
                let properties = CGImageSourceCopyPropertiesAtIndex(source, 0, nil) as? [CFString: Any]
            else {
                throw .undecodablePicture(
                    "The data is not an image.", why: "The system does not know its format.", next: Self.another)
            }
            func number(_ key: CFString) -> Int? { (properties[key] as? NSNumber)?.intValue }
            let orientation = number(kCGImagePropertyOrientation) ?? 1
            let plan = try DecodingPlan(
                height: number(kCGImagePropertyPixelHeight) ?? 0, width: number(kCGImagePropertyPixelWidth) ?? 0,
                orientation: orientation, isJPEG: data.starts(with: [0xFF, 0xD8, 0xFF]), reducedFor: preprocessing)
            let bitmap = try Self.bitmap(of: source, after: plan)
            self = bitmap.picture(orientation: orientation, after: plan)
        }

        /// Converts a decoded image. Its values are taken as they are, in whatever color space.
        ///
        /// - Parameters:
        ///   - image: The decoded image.
        ///   - orientation: The orientation in which it was taken.
        /// - Throws: `SHViTError` if it has four colors (CMYK) or floating-point values.
        public init(_ image: CGImage, orientation: CGImagePropertyOrientation = .up) throws(SHViTError) {
            self = try Bitmap(image).picture(orientation: Int(orientation.rawValue))
        }

        /// Decodes and draws. What was decoded is freed at the end.
        private static func bitmap(of source: CGImageSource, after plan: DecodingPlan) throws(SHViTError) -> Bitmap {
            var options: [CFString: Any] = [kCGImageSourceShouldCache: false]
            if plan.reduction > 1 { options[kCGImageSourceSubsampleFactor] = plan.reduction }
            guard let image = CGImageSourceCreateImageAtIndex(source, 0, options as CFDictionary) else {
                throw .undecodablePicture(
                    "The picture cannot be decoded.", why: "The file may be damaged.", next: Self.another)
            }
            try plan.check(height: image.height, width: image.width)
            return try Bitmap(image)
        }

        fileprivate static var another: String { "Choose another picture." }
    }

    /// The stored values of an image, drawn on white.
    private struct Bitmap {
        let height: Int
        let width: Int
        let layout: PixelLayout
        let memory: [UInt8]

        init(_ image: CGImage) throws(SHViTError) {
            // With the device's color space on both sides, no value is converted.
            let (plain, space) = try Self.withoutProfile(image)
            layout = space.model == .monochrome ? .gray : .rgba
            let alpha = space.model == .monochrome ? CGImageAlphaInfo.none : .noneSkipLast
            let (height, width, stride) = (image.height, image.width, layout.stride)
            // White, which shows through where the image is transparent.
            var memory = [UInt8](repeating: 255, count: height * width * stride)
            let isDrawn = memory.withUnsafeMutableBytes { memory in
                let context = CGContext(
                    data: memory.baseAddress, width: width, height: height, bitsPerComponent: 8,
                    bytesPerRow: width * stride, space: space, bitmapInfo: alpha.rawValue)
                context?.draw(plain, in: CGRect(x: 0, y: 0, width: width, height: height))
                return context != nil
            }
            guard isDrawn else {
                throw .undecodablePicture(
                    "A picture of \(height) x \(width) pixels cannot be drawn.", next: RGBImage.another)
            }
            (self.height, self.width, self.memory) = (height, width, memory)
        }

        /// Returns the upright picture; after a plan, only the pixels that are whole blocks of the original.
        func picture(orientation: Int, after plan: DecodingPlan? = nil) -> RGBImage {
            let (height, width) = (plan?.height ?? height, plan?.width ?? width)
            let bytesPerRow = self.width * layout.stride
            return memory.withUnsafeBytes { memory in
                RGBImage(
                    PictureMemory(
                        valid: .packed(memory, bytesPerRow: bytesPerRow, layout), height: height, width: width,
                        orientation: orientation),
                    reduction: plan?.reduction ?? 1)
            }
        }

        /// Returns the image in a color space of the device, which changes no value, and that space.
        private static func withoutProfile(_ image: CGImage) throws(SHViTError) -> (CGImage, CGColorSpace) {
            guard let space = image.colorSpace, !image.bitmapInfo.contains(.floatComponents) else {
                throw .unsupportedInput(
                    "The picture's values are floating-point, or it is a mask.", why: "The value of white is unknown.",
                    next: RGBImage.another)
            }
            let base = space.model == .indexed ? space.baseColorSpace : space
            let device: CGColorSpace
            switch base?.model {
            case .monochrome: device = CGColorSpaceCreateDeviceGray()
            case .rgb: device = CGColorSpaceCreateDeviceRGB()
            default:
                throw .unsupportedInput(
                    "The picture's colors are neither RGB nor gray.", why: "Each phone turns CMYK into other colors.",
                    next: "Convert it to RGB.")
            }
            guard let plain = image.copy(colorSpace: space.model == .indexed ? try palette(of: space, device) : device)
            else {
                throw .undecodablePicture("The picture's color profile cannot be left out.", next: RGBImage.another)
            }
            return (plain, device)
        }

        /// Returns the same palette in a color space of the device.
        private static func palette(of space: CGColorSpace, _ device: CGColorSpace) throws(SHViTError) -> CGColorSpace {
            guard let table = space.colorTable,
                let plain = CGColorSpace(
                    indexedBaseSpace: device, last: table.count / device.numberOfComponents - 1, colorTable: table)
            else { throw .undecodablePicture("The picture's palette cannot be read.", next: RGBImage.another) }
            return plain
        }
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

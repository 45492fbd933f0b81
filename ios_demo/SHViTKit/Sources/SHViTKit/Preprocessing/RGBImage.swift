/// A picture as bytes in the order rows, columns, channels, without padding.
public struct RGBImage: Equatable, PictureSource {
    /// The height in pixels.
    public let height: Int
    /// The width in pixels.
    public let width: Int
    /// `height * width * 3` values from 0 to 255.
    public let bytes: [UInt8]
    /// What each side was divided by when the picture was decoded: a power of two; 1 for a whole picture.
    public let reduction: Int

    /// Wraps bytes.
    ///
    /// - Throws: `SHViTError` if height or width is 0, or the number of bytes does not match.
    public init(height: Int, width: Int, bytes: [UInt8]) throws(SHViTError) {
        guard height > 0, width > 0 else {
            throw SHViTError.unsupportedInput(
                "The picture has \(height) rows and \(width) columns.", why: "It needs at least one of each.")
        }
        guard bytes.count == height * width * 3 else {
            throw SHViTError.unsupportedInput(
                "\(bytes.count) bytes do not fit a picture of \(height) x \(width) pixels.",
                why: "Three bytes per pixel are \(height * width * 3).")
        }
        self.init(height, width, bytes)
    }

    /// Wraps bytes whose number is known to match.
    init(_ height: Int, _ width: Int, _ bytes: [UInt8], reduction: Int = 1) {
        self.height = height
        self.width = width
        self.bytes = bytes
        self.reduction = reduction
    }

    /// Calls `body` with the picture's bytes.
    public func withMemory<Value>(_ body: (PictureMemory) -> Value) throws(SHViTError) -> Value {
        memory(body)
    }

    /// The same, which cannot fail.
    func memory<Value>(_ body: (PictureMemory) -> Value) -> Value {
        bytes.withUnsafeBytes { bytes in
            body(
                PictureMemory(
                    valid: .packed(bytes, bytesPerRow: width * 3, .rgb), height: height, width: width, orientation: 1))
        }
    }

    /// The picture with red and blue swapped.
    package var channelsReversed: RGBImage {
        var turned = bytes
        for start in stride(from: 0, to: turned.count, by: 3) {
            turned.swapAt(start, start + 2)
        }
        return RGBImage(height, width, turned)
    }

    /// Returns the mean absolute difference of the values, from 0 to 255; nil if the sizes differ.
    public func meanDifference(from other: RGBImage) -> Double? {
        guard height == other.height, width == other.width else { return nil }
        let total = zip(bytes, other.bytes).reduce(0) { $0 + abs(Int($1.0) - Int($1.1)) }
        return Double(total) / Double(bytes.count)
    }
}

/// A picture as bytes: rows, columns, then three channels, without padding.
public struct RGBImage: Equatable, Sendable {
    /// In pixels.
    public let height: Int
    /// In pixels.
    public let width: Int
    /// `height * width * 3` values of 0 to 255.
    public let bytes: [UInt8]

    /// A picture of bytes that are there already.
    ///
    /// - Throws: `SHViTError` where there are no pixels, or not as many bytes as pixels need.
    public init(height: Int, width: Int, bytes: [UInt8]) throws(SHViTError) {
        guard height > 0, width > 0 else {
            throw SHViTError("The picture has \(height) rows and \(width) columns.", why: "It needs one of each.")
        }
        guard bytes.count == height * width * 3 else {
            throw SHViTError(
                "\(bytes.count) bytes are no picture of \(height) x \(width) pixels.",
                why: "Three bytes a pixel are \(height * width * 3).")
        }
        self.init(height, width, bytes)
    }

    /// As above, of what this module has counted itself.
    init(_ height: Int, _ width: Int, _ bytes: [UInt8]) {
        self.height = height
        self.width = width
        self.bytes = bytes
    }

    /// A part of it, which lies within.
    func cropped(top: Int, left: Int, height: Int, width: Int) -> RGBImage {
        var part: [UInt8] = []
        part.reserveCapacity(height * width * 3)
        for row in top..<top + height {
            let start = (row * self.width + left) * 3
            part += bytes[start..<start + width * 3]
        }
        return RGBImage(height, width, part)
    }

    /// With the first and the last channel exchanged: RGB for BGR.
    var channelsReversed: RGBImage {
        var turned = bytes
        for start in stride(from: 0, to: turned.count, by: 3) {
            turned.swapAt(start, start + 2)
        }
        return RGBImage(height, width, turned)
    }

    /// The mean absolute difference of their values, in steps of 0 to 255; nil where their sizes differ.
    public func meanDifference(from other: RGBImage) -> Double? {
        guard height == other.height, width == other.width else { return nil }
        let total = zip(bytes, other.bytes).reduce(0) { $0 + abs(Int($1.0) - Int($1.1)) }
        return Double(total) / Double(bytes.count)
    }
}

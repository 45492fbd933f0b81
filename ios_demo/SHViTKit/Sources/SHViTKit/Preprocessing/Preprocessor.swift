/// Turns an upright picture into a model's input, bit-exact with `shvit_mobile.contracts.preprocessing` in Python.
public struct Preprocessor: Sendable {
    /// The contract that it follows.
    public let preprocessing: Preprocessing

    /// Pictures longer than this many times what the crop needs are cut to their middle before they cover it.
    private static let longest = 64
    /// Sides longer than this many times their resized side are cut to their middle before they are squashed.
    private static let mostShrinking = 256

    /// - Throws: `SHViTError` if the contract is invalid.
    public init(_ preprocessing: Preprocessing) throws(SHViTError) {
        do { try preprocessing.check() } catch {
            throw SHViTError(
                "The preprocessing's \(error.place) \(error.what).",
                why: "The contract comes from the artifact's manifest.",
                next: "Export the model again.")
        }
        self.preprocessing = preprocessing
    }

    /// Returns the pixels that the model sees.
    ///
    /// Resizes rows first, then columns. Each pass rounds to 8 bits, so the order matters.
    ///
    /// - Returns: A picture of the model's size, in the contract's channel order.
    public func pixels(of picture: RGBImage) -> RGBImage {
        let (height, width) = (preprocessing.size[0], preprocessing.size[1])
        let picture = middle(of: picture)
        let resized = resizedSize(height: picture.height, width: picture.width)
        let left = Self.half(resized.width - width)
        let top = Self.half(resized.height - height)
        let columns = resampling(from: picture.width, to: resized.width, kept: left..<left + width)
        let rows = resampling(from: picture.height, to: resized.height, kept: top..<top + height)
        let cropped = rows.alongColumns(columns.alongRows(picture))
        return preprocessing.channelOrder == .rgb ? cropped : cropped.channelsReversed
    }

    /// Returns `(pixel / 255 - mean) / std` in the order channels, rows, columns, for a model that does not normalize.
    public func normalizedValues(of pixels: RGBImage) -> [Float] {
        planes(of: pixels) { value, channel in
            (Float(value) / 255 - Float(preprocessing.mean[channel])) / Float(preprocessing.std[channel])
        }
    }

    /// Returns the pixels from 0 to 255 as floats in the order channels, rows, columns, for a model that normalizes.
    public func rawValues(of pixels: RGBImage) -> [Float] {
        planes(of: pixels) { value, _ in Float(value) }
    }

    /// Returns the size to which a picture is resized before the crop.
    ///
    /// The tighter side becomes exactly what the crop needs. The other side keeps the aspect ratio, rounded down, or with
    /// `squash` is computed like the first.
    func resizedSize(height: Int, width: Int) -> (height: Int, width: Int) {
        let cover = self.cover
        if preprocessing.resizeMode == .squash { return cover }
        if cover.height * width >= cover.width * height {
            return (cover.height, cover.height * width / height)
        }
        return (cover.width * height / width, cover.width)
    }

    /// The size that the resized picture must cover.
    private var cover: (height: Int, width: Int) {
        let sides = preprocessing.size.map { Int(Double($0) / preprocessing.cropRatio) }
        return (sides[0], sides[1])
    }

    private func resampling(from length: Int, to resized: Int, kept: Range<Int>) -> Resampling {
        Resampling(from: length, to: resized, kept: kept, interpolation: preprocessing.interpolation)
    }

    /// Returns the picture, or the middle of one that is too long.
    private func middle(of picture: RGBImage) -> RGBImage {
        let cover = self.cover
        let most =
            switch preprocessing.resizeMode {
            case .squash:
                (height: Self.mostShrinking * cover.height, width: Self.mostShrinking * cover.width)
            case .cover:
                (
                    height: Self.ceiling(Self.longest * cover.height * picture.width, cover.width),
                    width: Self.ceiling(Self.longest * cover.width * picture.height, cover.height)
                )
            }
        let height = Self.kept(picture.height, most.height)
        let width = Self.kept(picture.width, most.width)
        if (height, width) == (picture.height, picture.width) { return picture }
        return picture.cropped(
            top: (picture.height - height) / 2, left: (picture.width - width) / 2, height: height, width: width)
    }

    /// Returns at most `most` of `length`, plus one if both margins are equal only then.
    private static func kept(_ length: Int, _ most: Int) -> Int {
        length <= most ? length : most + (length - most) % 2
    }

    private static func ceiling(_ dividend: Int, _ divisor: Int) -> Int {
        (dividend + divisor - 1) / divisor
    }

    /// Returns half the length, rounded half to even as Python's `round` does.
    private static func half(_ length: Int) -> Int {
        Int((Double(length) / 2).rounded(.toNearestOrEven))
    }

    private func planes(of pixels: RGBImage, value: (UInt8, Int) -> Float) -> [Float] {
        var result: [Float] = []
        result.reserveCapacity(pixels.bytes.count)
        for channel in 0..<3 {
            for place in stride(from: channel, to: pixels.bytes.count, by: 3) {
                result.append(value(pixels.bytes[place], channel))
            }
        }
        return result
    }
}

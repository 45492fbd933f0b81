/// Makes a model's input of an upright picture, to the same bits as `shvit_mobile.images.preprocessing` in Python.
public struct Preprocessor: Sendable {
    /// What it does.
    public let preprocessing: Preprocessing

    /// Past this many times what the crop needs, a long picture is cut to its middle before it is resized.
    private static let longest = 64

    /// - Throws: `SHViTError` where the preprocessing's values make no sense.
    public init(_ preprocessing: Preprocessing) throws(SHViTError) {
        do { try preprocessing.check() } catch {
            throw SHViTError(
                "The preprocessing's \(error.place) \(error.what).", why: "It comes from the artifact's manifest.",
                next: "Export the model again.")
        }
        self.preprocessing = preprocessing
    }

    /// The pixels that the model sees.
    ///
    /// Along the rows first, then along the columns: each pass rounds to 8 bits, so their order matters.
    ///
    /// - Returns: a picture of the model's size, its channels in the preprocessing's order.
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

    /// What a model without normalisation inside takes: `(pixel / 255 - mean) / std`, channels, rows, columns.
    public func normalised(_ pixels: RGBImage) -> [Float] {
        planes(of: pixels) { value, channel in
            (Float(value) / 255 - Float(preprocessing.mean[channel])) / Float(preprocessing.std[channel])
        }
    }

    /// What a model with normalisation inside takes: values of 0 to 255 as floats, channels, rows, columns.
    public func raw(_ pixels: RGBImage) -> [Float] {
        planes(of: pixels) { value, _ in Float(value) }
    }

    /// What a picture is resized to before the crop.
    ///
    /// The tighter side becomes exactly what is to be covered, the other keeps the proportions, rounded down.
    func resizedSize(height: Int, width: Int) -> (height: Int, width: Int) {
        let cover = self.cover
        if cover.height * width >= cover.width * height {
            return (cover.height, cover.height * width / height)
        }
        return (cover.width * height / width, cover.width)
    }

    /// What the resized picture covers.
    private var cover: (height: Int, width: Int) {
        let sides = preprocessing.size.map { Int(Double($0) / preprocessing.cropRatio) }
        return (sides[0], sides[1])
    }

    private func resampling(from length: Int, to resized: Int, kept: Range<Int>) -> Resampling {
        Resampling(from: length, to: resized, kept: kept, interpolation: preprocessing.interpolation)
    }

    /// The picture itself, or the middle of one that is too long.
    private func middle(of picture: RGBImage) -> RGBImage {
        let cover = self.cover
        let height = Self.kept(picture.height, Self.ceiling(Self.longest * cover.height * picture.width, cover.width))
        let width = Self.kept(picture.width, Self.ceiling(Self.longest * cover.width * picture.height, cover.height))
        if (height, width) == (picture.height, picture.width) { return picture }
        return picture.cropped(
            top: (picture.height - height) / 2, left: (picture.width - width) / 2, height: height, width: width)
    }

    /// At most `most` of `length`, or one more where only that leaves as much on either side.
    private static func kept(_ length: Int, _ most: Int) -> Int {
        length <= most ? length : most + (length - most) % 2
    }

    private static func ceiling(_ dividend: Int, _ divisor: Int) -> Int {
        (dividend + divisor - 1) / divisor
    }

    /// Half of it, a half rounded to the even neighbour as Python's `round` does.
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

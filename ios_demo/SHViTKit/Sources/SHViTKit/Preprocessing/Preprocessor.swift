/// Turns an upright picture into a model's input, bit-exact with `shvit_mobile.contracts.preprocessing` in Python.
public struct Preprocessor: Sendable {
    /// The contract that it follows.
    public let preprocessing: Preprocessing
    /// The memory for one picture at a time, kept for the next one.
    let passes = PassesPool()

    /// Pictures longer than this many times what the crop needs are cut to their middle before they cover it.
    private static let longest = 64
    /// Sides longer than this many times those of the input are cut to their middle before they are squashed or fitted.
    private static let mostShrinking = 256

    /// - Throws: `SHViTError` if the contract is invalid.
    public init(_ preprocessing: Preprocessing) throws(SHViTError) {
        do { try preprocessing.check() } catch {
            throw SHViTError.invalidSettings(
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
        picture.memory { pixels(of: $0) }
    }

    /// Returns the pixels that the model sees, from a picture that is not copied, such as a camera frame.
    ///
    /// Reads only the rows and columns that the crop needs, and needs no memory after the first picture of a size if the
    /// result of the one before is no longer used.
    public func pixels(of picture: PictureMemory) -> RGBImage {
        passes.withPasses(for: picture, in: self) { $0.pixels(of: picture) }
    }

    /// The same, from a source that gives access to its memory.
    ///
    /// - Throws: `SHViTError` if the source has no memory of a known layout.
    public func pixels(of source: some PictureSource) throws(SHViTError) -> RGBImage {
        try source.withMemory { pixels(of: $0) }
    }

    /// Returns the passes for upright pictures of a size.
    func makePasses(height: Int, width: Int) -> Passes {
        let region = middle(height: height, width: width)
        let (resized, rows, columns) = kept(of: region)
        return Passes(
            size: (height, width), top: region.top, left: region.left,
            columns: resampling(from: region.width, to: resized.width, kept: columns.clamped(to: 0..<resized.width)),
            rows: resampling(from: region.height, to: resized.height, kept: rows.clamped(to: 0..<resized.height)),
            isReversed: preprocessing.channelOrder == .bgr,
            frame: Frame(
                height: rows.count, width: columns.count, top: max(-rows.lowerBound, 0),
                left: max(-columns.lowerBound, 0), value: preprocessing.paddingValue?.map { UInt8($0) } ?? [0, 0, 0]))
    }

    /// Returns the rows and columns of an upright picture that become the model's input, in pixels of the picture. A
    /// filter also reads a few pixels around them. The padding of a letterbox lies outside of the picture.
    package func crop(height: Int, width: Int) -> (rows: Range<Double>, columns: Range<Double>) {
        let region = middle(height: height, width: width)
        let (resized, rows, columns) = kept(of: region)
        func range(_ kept: Range<Int>, from start: Int, _ length: Int, _ resized: Int) -> Range<Double> {
            let scale = Double(length) / Double(resized)
            return Double(start) + Double(kept.lowerBound) * scale..<Double(start) + Double(kept.upperBound) * scale
        }
        return (
            range(rows, from: region.top, region.height, resized.height),
            range(columns, from: region.left, region.width, resized.width)
        )
    }

    /// Returns the rows and columns of the model's input that show an upright picture; the others are padding.
    func shown(height: Int, width: Int) -> (rows: Range<Int>, columns: Range<Int>) {
        let (resized, rows, columns) = kept(of: middle(height: height, width: width))
        func part(_ kept: Range<Int>, _ resized: Int) -> Range<Int> {
            let inside = kept.clamped(to: 0..<resized)
            return inside.lowerBound - kept.lowerBound..<inside.upperBound - kept.lowerBound
        }
        return (part(rows, resized.height), part(columns, resized.width))
    }

    /// Returns the size to which the middle of a picture is resized, and the rows and columns of that which are the
    /// model's input. Those outside of it are padding.
    private func kept(
        of region: Region
    ) -> (resized: (height: Int, width: Int), rows: Range<Int>, columns: Range<Int>) {
        let resized = resizedSize(height: region.height, width: region.width)
        let (high, wide) = (preprocessing.size[0] - resized.height, preprocessing.size[1] - resized.width)
        let (top, left) =
            switch preprocessing.padding {
            case nil: (Self.half(-high), Self.half(-wide))
            case .center: (-(high / 2), -(wide / 2))
            case .end: (0, 0)
            }
        return (resized, top..<top + preprocessing.size[0], left..<left + preprocessing.size[1])
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
    /// `squash` is computed like the first. In a letterbox, the side that fits last becomes that of the input, and the
    /// other keeps the aspect ratio, rounded half up, and at least 1.
    func resizedSize(height: Int, width: Int) -> (height: Int, width: Int) {
        let cover = self.cover
        if preprocessing.resizeMode == .squash { return cover }
        if preprocessing.resizeMode == .letterbox {
            if cover.height * width <= cover.width * height {
                return (cover.height, max(1, (2 * cover.height * width + height) / (2 * height)))
            }
            return (max(1, (2 * cover.width * height + width) / (2 * width)), cover.width)
        }
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

    /// A part of a picture.
    private typealias Region = (top: Int, left: Int, height: Int, width: Int)

    /// Returns the whole of a picture, or the middle of one that is too long.
    private func middle(height: Int, width: Int) -> Region {
        let cover = self.cover
        let most =
            switch preprocessing.resizeMode {
            case .squash, .letterbox:
                (height: Self.mostShrinking * cover.height, width: Self.mostShrinking * cover.width)
            case .cover:
                (
                    height: Self.ceiling(Self.longest * cover.height * width, cover.width),
                    width: Self.ceiling(Self.longest * cover.width * height, cover.height)
                )
            }
        let kept = (height: Self.kept(height, most.height), width: Self.kept(width, most.width))
        return ((height - kept.height) / 2, (width - kept.width) / 2, kept.height, kept.width)
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
        let (count, length) = (pixels.height * pixels.width, pixels.bytes.count)
        return [Float](unsafeUninitializedCapacity: length) { result, filled in
            pixels.bytes.withUnsafeBufferPointer { bytes in
                for channel in 0..<3 {
                    let table = (0...255).map { value(UInt8($0), channel) }
                    table.withUnsafeBufferPointer { table in
                        for place in 0..<count {
                            result[channel * count + place] = table[Int(bytes[place * 3 + channel])]
                        }
                    }
                }
            }
            filled = length
        }
    }
}

/// The model's input, in which the resized picture lies at a place; the rest is padding.
struct Frame {
    let height: Int
    let width: Int
    let top: Int
    let left: Int
    /// The padding in each channel.
    let value: [UInt8]
}

/// A picture that a preprocessor can read where it is.
public protocol PictureSource: Sendable {
    /// Calls `body` with the picture's memory, which is valid only during the call.
    ///
    /// - Throws: `SHViTError` if there is no memory of a known layout.
    func withMemory<Value>(_ body: (PictureMemory) -> Value) throws(SHViTError) -> Value
}

/// A picture in memory that belongs to someone else, such as a camera frame. It is not copied.
public struct PictureMemory {
    /// How brightness and color become red, green and blue.
    public struct Conversion: Equatable, Sendable {
        /// The weights of brightness and color, in units of 1/65536.
        let brightness, redV, greenU, greenV, blueU: Int32
        /// The brightness of black.
        let black: Int32

        /// - Parameters:
        ///   - isFullRange: Whether samples range from 0 to 255 (420f), or brightness from 16 to 235 (420v).
        ///   - isHD: Whether the matrix is that of BT.709, or that of BT.601.
        public init(isFullRange: Bool, isHD: Bool = false) {
            let (red, blue) = isHD ? (0.2126, 0.0722) : (0.299, 0.114)
            let green = 1 - red - blue
            let (light, color) = isFullRange ? (1.0, 1.0) : (255 / 219.0, 255 / 224.0)
            func fixed(_ value: Double) -> Int32 { Int32((value * 65536).rounded()) }
            brightness = fixed(light)
            redV = fixed(2 * (1 - red) * color)
            blueU = fixed(2 * (1 - blue) * color)
            greenU = fixed(2 * (1 - blue) * blue / green * color)
            greenV = fixed(2 * (1 - red) * red / green * color)
            black = isFullRange ? 0 : 16
        }
    }

    /// The samples.
    enum Pixels {
        case packed(UnsafeRawBufferPointer, bytesPerRow: Int, PixelLayout)
        case biplanar(
            luma: UnsafeRawBufferPointer, bytesPerRow: Int, chroma: UnsafeRawBufferPointer, chromaBytesPerRow: Int,
            Conversion)
    }

    let pixels: Pixels
    /// The height in memory.
    let height: Int
    /// The width in memory.
    let width: Int
    let orientation: Int

    /// Wraps memory that is known to hold all rows.
    init(valid pixels: Pixels, height: Int, width: Int, orientation: Int) {
        self.pixels = pixels
        self.height = height
        self.width = width
        self.orientation = orientation
    }

    /// Wraps a picture whose samples lie side by side. A pixel's fourth sample is ignored.
    ///
    /// - Parameters:
    ///   - memory: The first row starts at its start.
    ///   - height: The height in memory.
    ///   - width: The width in memory.
    ///   - bytesPerRow: The distance between the starts of two rows.
    ///   - layout: The order of a pixel's samples.
    ///   - orientation: The EXIF orientation, 1 to 8, of the picture in memory.
    /// - Throws: `SHViTError` if the memory is too small.
    public init(
        _ memory: UnsafeRawBufferPointer, height: Int, width: Int, bytesPerRow: Int, layout: PixelLayout,
        orientation: Int = 1
    ) throws(SHViTError) {
        try Self.check(memory, rows: height, bytes: width * layout.stride, bytesPerRow: bytesPerRow)
        self.init(
            valid: .packed(memory, bytesPerRow: bytesPerRow, layout), height: height, width: width,
            orientation: orientation)
    }

    /// Wraps a picture in two planes, as cameras deliver it (420v, 420f): brightness, and for each 2x2 block a pair of
    /// color samples U and V.
    ///
    /// - Parameters:
    ///   - luma: The brightness; the first row starts at its start.
    ///   - bytesPerRow: The distance between the starts of two rows of brightness.
    ///   - chroma: The color, with half the rows and columns, rounded up.
    ///   - chromaBytesPerRow: The distance between the starts of two rows of color.
    ///   - height: The height in memory.
    ///   - width: The width in memory.
    ///   - conversion: How the samples become red, green and blue.
    ///   - orientation: The EXIF orientation, 1 to 8, of the picture in memory.
    /// - Throws: `SHViTError` if a plane is too small.
    public init(
        luma: UnsafeRawBufferPointer, bytesPerRow: Int, chroma: UnsafeRawBufferPointer, chromaBytesPerRow: Int,
        height: Int, width: Int, conversion: Conversion, orientation: Int = 1
    ) throws(SHViTError) {
        try Self.check(luma, rows: height, bytes: width, bytesPerRow: bytesPerRow)
        try Self.check(chroma, rows: (height + 1) / 2, bytes: (width + 1) / 2 * 2, bytesPerRow: chromaBytesPerRow)
        self.init(
            valid: .biplanar(
                luma: luma, bytesPerRow: bytesPerRow, chroma: chroma, chromaBytesPerRow: chromaBytesPerRow, conversion),
            height: height, width: width, orientation: orientation)
    }

    private static func check(
        _ memory: UnsafeRawBufferPointer, rows: Int, bytes: Int, bytesPerRow: Int
    ) throws(SHViTError) {
        guard rows > 0, bytes > 0, bytesPerRow >= bytes, memory.count >= (rows - 1) * bytesPerRow + bytes else {
            throw SHViTError.unsupportedInput(
                "\(memory.count) bytes do not hold \(rows) rows of \(bytes) bytes, \(bytesPerRow) bytes apart.",
                why: "Each row has to lie within the memory.")
        }
    }

    /// The height and width of the upright picture.
    package var uprightSize: (height: Int, width: Int) {
        Turn(orientation: orientation).isTurned ? (width, height) : (height, width)
    }

    /// Whether the first sample in memory is blue.
    var isReversed: Bool {
        if case .packed(_, _, .bgra) = pixels { true } else { false }
    }

    /// Copies a part of a stored row as four samples a pixel, in memory's order of colors.
    func copy(row: Int, from column: Int, count: Int, to target: UnsafeMutablePointer<UInt8>) {
        switch pixels {
        case .packed(let memory, let bytesPerRow, let layout):
            guard let base = memory.baseAddress else { return }
            let source = (base + row * bytesPerRow + column * layout.stride).assumingMemoryBound(to: UInt8.self)
            switch layout.stride {
            case 4: target.update(from: source, count: count &* 4)
            case 3:
                for place in 0..<count {
                    target[place &* 4] = source[place &* 3]
                    target[place &* 4 &+ 1] = source[place &* 3 &+ 1]
                    target[place &* 4 &+ 2] = source[place &* 3 &+ 2]
                }
            default:
                for place in 0..<count {
                    target[place &* 4] = source[place]
                    target[place &* 4 &+ 1] = source[place]
                    target[place &* 4 &+ 2] = source[place]
                }
            }
        case .biplanar(let luma, let bytesPerRow, let chroma, let chromaBytesPerRow, let conversion):
            guard let luma = luma.baseAddress, let chroma = chroma.baseAddress else { return }
            Self.convert(
                luma: (luma + row * bytesPerRow).assumingMemoryBound(to: UInt8.self),
                chroma: (chroma + row / 2 * chromaBytesPerRow).assumingMemoryBound(to: UInt8.self),
                conversion, from: column, count: count, to: target)
        }
    }

    private static func convert(
        luma: UnsafePointer<UInt8>, chroma: UnsafePointer<UInt8>, _ conversion: Conversion, from column: Int,
        count: Int, to target: UnsafeMutablePointer<UInt8>
    ) {
        let (half, black) = (Int32(1 << 15), conversion.black)
        var (place, end) = (column, target)
        while place < column &+ count {
            let pair = place & ~1
            let (u, v) = (Int32(chroma[pair]) &- 128, Int32(chroma[pair &+ 1]) &- 128)
            let color = SIMD4<Int32>(
                conversion.redV &* v, 0 &- conversion.greenU &* u &- conversion.greenV &* v, conversion.blueU &* u, 0)
            repeat {
                let light = (Int32(luma[place]) &- black) &* conversion.brightness &+ half
                var samples = (color &+ light) &>> 16
                samples.clamp(lowerBound: SIMD4(repeating: 0), upperBound: SIMD4(repeating: 255))
                UnsafeMutableRawPointer(end).storeBytes(
                    of: SIMD4<UInt8>(truncatingIfNeeded: samples), as: SIMD4<UInt8>.self)
                (place, end) = (place &+ 1, end + 4)
            } while place & 1 == 1 && place < column &+ count
        }
    }
}

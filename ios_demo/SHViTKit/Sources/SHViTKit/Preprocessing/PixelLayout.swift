/// The layout of a pixel's 8-bit samples in memory.
public struct PixelLayout: Equatable, Sendable {
    /// Bytes per pixel.
    let stride: Int
    /// The offsets of red, green and blue.
    let offsets: [Int]

    /// One sample for all three channels.
    public static let gray = PixelLayout(stride: 1, offsets: [0, 0, 0])
    /// Red, green and blue without gaps.
    public static let rgb = PixelLayout(stride: 3, offsets: [0, 1, 2])
    /// The layout of a bitmap that Core Graphics draws into.
    public static let rgba = PixelLayout(stride: 4, offsets: [0, 1, 2])
    /// The layout of camera frames and of pixel buffers for Core ML.
    public static let bgra = PixelLayout(stride: 4, offsets: [2, 1, 0])
}

extension RGBImage {
    /// Writes the pixels into memory with that layout. A pixel's fourth sample becomes 255 (opaque).
    package func write(into memory: UnsafeMutableRawBufferPointer, bytesPerRow: Int, layout: PixelLayout) {
        bytes.withUnsafeBufferPointer { bytes in
            var place = 0
            for row in 0..<height {
                var pixel = row * bytesPerRow
                for _ in 0..<width {
                    if layout.stride == 4 { memory[pixel + 3] = 255 }
                    for channel in 0..<3 {
                        memory[pixel + layout.offsets[channel]] = bytes[place + channel]
                    }
                    (place, pixel) = (place + 3, pixel + layout.stride)
                }
            }
        }
    }
}

/// How systems lay the samples of a pixel, of 8 bits each, into memory.
struct PixelLayout: Sendable {
    /// Bytes a pixel.
    let stride: Int
    /// Which of them are red, green, blue.
    let offsets: [Int]

    /// One sample for all three.
    static let grey = PixelLayout(stride: 1, offsets: [0, 0, 0])
    /// As a bitmap that is drawn into.
    static let rgba = PixelLayout(stride: 4, offsets: [0, 1, 2])
    /// As a camera's frames and Core ML's pictures.
    static let bgra = PixelLayout(stride: 4, offsets: [2, 1, 0])
}

extension RGBImage {
    /// A picture of memory in which each row takes `bytesPerRow`; the fourth sample of a pixel does not count.
    init(_ memory: UnsafeRawBufferPointer, height: Int, width: Int, bytesPerRow: Int, layout: PixelLayout) {
        var bytes = [UInt8](repeating: 0, count: height * width * 3)
        bytes.withUnsafeMutableBufferPointer { bytes in
            for channel in 0..<3 {
                var place = channel
                for row in 0..<height {
                    var sample = row * bytesPerRow + layout.offsets[channel]
                    for _ in 0..<width {
                        bytes[place] = memory[sample]
                        (place, sample) = (place + 3, sample + layout.stride)
                    }
                }
            }
        }
        self.init(height, width, bytes)
    }

    /// Writes the pixels into such memory; the fourth sample of each becomes 255, opaque.
    func write(into memory: UnsafeMutableRawBufferPointer, bytesPerRow: Int, layout: PixelLayout) {
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

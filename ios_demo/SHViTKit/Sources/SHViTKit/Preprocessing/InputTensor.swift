extension Preprocessor {
    private static let block = 2

    /// The values of an artifact's input tensor for one picture, in the order in which they lie there.
    ///
    /// - Parameters:
    ///   - pixels: as `pixels(of:)` makes them.
    ///   - input: the manifest's.
    public func tensor(of pixels: RGBImage, for input: Manifest.Input) -> [Float] {
        let values = input.values == .normalised ? normalised(pixels) : raw(pixels)
        switch input.layout {
        case .image:
            return values
        case .spaceToDepth:
            let border = (input.border ?? [0, 0, 0]).map { Float($0) }
            return Self.spaceToDepth(values, height: pixels.height, width: pixels.width, border: border)
        }
    }

    /// An image with a border, each block of 2x2 positions stacked into channels.
    ///
    /// The border is two rows above and two columns on the left, and one more below and on the right where a side is
    /// odd. Channel `(2 * row + column) * 3 + colour` of a block holds that row, column and colour of it.
    private static func spaceToDepth(_ values: [Float], height: Int, width: Int, border: [Float]) -> [Float] {
        let (rows, columns) = (blocks(height), blocks(width))
        var result: [Float] = []
        result.reserveCapacity(block * block * 3 * rows * columns)
        for corner in 0..<block * block {
            for colour in 0..<3 {
                for row in 0..<rows {
                    for column in 0..<columns {
                        let y = block * (row - 1) + corner / block
                        let x = block * (column - 1) + corner % block
                        let inside = (0..<height).contains(y) && (0..<width).contains(x)
                        result.append(inside ? values[(colour * height + y) * width + x] : border[colour])
                    }
                }
            }
        }
        return result
    }

    /// How many blocks cover a side and its border.
    private static func blocks(_ side: Int) -> Int {
        (side + block - 1) / block + 1
    }
}

extension Preprocessor {
    private static let block = 2

    /// Returns the values of an artifact's input tensor for a picture, in memory order.
    ///
    /// - Parameters:
    ///   - pixels: The output of `pixels(of:)`.
    ///   - input: The input in the artifact's manifest.
    public func tensor(of pixels: RGBImage, for input: Manifest.Input) -> [Float] {
        let values = input.values == .normalized ? normalizedValues(of: pixels) : rawValues(of: pixels)
        switch input.layout {
        case .image:
            return values
        case .spaceToDepth:
            let border = (input.border ?? [0, 0, 0]).map { Float($0) }
            return Self.spaceToDepth(values, height: pixels.height, width: pixels.width, border: border)
        }
    }

    /// Adds a border to an image and stacks each 2x2 block into channels.
    ///
    /// The border has two rows above and two columns on the left, plus one row below or column on the right if that
    /// side is odd. Channel `(2 * row + column) * 3 + color` of a block holds that row, column and color.
    private static func spaceToDepth(_ values: [Float], height: Int, width: Int, border: [Float]) -> [Float] {
        let (rows, columns) = (blocks(height), blocks(width))
        var result: [Float] = []
        result.reserveCapacity(block * block * 3 * rows * columns)
        for corner in 0..<block * block {
            for color in 0..<3 {
                for row in 0..<rows {
                    for column in 0..<columns {
                        let y = block * (row - 1) + corner / block
                        let x = block * (column - 1) + corner % block
                        let inside = (0..<height).contains(y) && (0..<width).contains(x)
                        result.append(inside ? values[(color * height + y) * width + x] : border[color])
                    }
                }
            }
        }
        return result
    }

    /// Returns the number of blocks that cover a side with its border.
    private static func blocks(_ side: Int) -> Int {
        (side + block - 1) / block + 1
    }
}

/// The EXIF orientations, 1 to 8.
enum ExifOrientation {
    /// EXIF's orientation for each raw value of `UIImage.Orientation`: up, down, left, right, then the mirrored ones.
    private static let ofUIKit = [1, 3, 8, 6, 2, 4, 5, 7]

    /// Returns the EXIF orientation for a raw value of `UIImage.Orientation`; 1 for an unknown one.
    static func fromUIKit(_ rawValue: Int) -> Int {
        ofUIKit.indices.contains(rawValue) ? ofUIKit[rawValue] : 1
    }
}

/// How stored rows and columns become upright ones.
struct Turn {
    /// Whether stored rows become columns.
    let isTurned: Bool
    /// Whether the stored rows are read from the last one.
    let rowsReversed: Bool
    /// Whether the stored columns are read from the last one.
    let columnsReversed: Bool

    /// - Parameter orientation: The EXIF orientation, 1 to 8. Any other value means upright.
    init(orientation: Int) {
        isTurned = (5...8).contains(orientation)
        rowsReversed = [3, 4, 6, 7].contains(orientation)
        columnsReversed = [2, 3, 7, 8].contains(orientation)
    }
}

extension RGBImage {
    /// Returns the upright picture.
    ///
    /// - Parameter orientation: The EXIF orientation, 1 to 8. Any other value leaves the picture as it is.
    func upright(from orientation: Int) -> RGBImage {
        guard (2...8).contains(orientation) else { return self }
        let turn = Turn(orientation: orientation)
        let (newHeight, newWidth) = turn.isTurned ? (width, height) : (height, width)
        var result = [UInt8](repeating: 0, count: bytes.count)
        bytes.withUnsafeBufferPointer { bytes in
            var place = 0
            for newRow in 0..<newHeight {
                for newColumn in 0..<newWidth {
                    let (row, column) = turn.isTurned ? (newColumn, newRow) : (newRow, newColumn)
                    let fromRow = turn.rowsReversed ? height - 1 - row : row
                    let fromColumn = turn.columnsReversed ? width - 1 - column : column
                    for channel in 0..<3 {
                        result[place + channel] = bytes[(fromRow * width + fromColumn) * 3 + channel]
                    }
                    place += 3
                }
            }
        }
        return RGBImage(newHeight, newWidth, result)
    }
}

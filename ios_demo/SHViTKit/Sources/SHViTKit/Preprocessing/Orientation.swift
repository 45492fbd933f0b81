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
    /// Copies a picture from memory, upright, without any memory beside the result and a row.
    ///
    /// - Parameter reduction: What each side was divided by when the picture was decoded.
    init(_ picture: PictureMemory, reduction: Int = 1) {
        let (height, width) = (picture.height, picture.width)
        let turn = Turn(orientation: picture.orientation)
        let step = (turn.isTurned ? height : 1) * 3
        var line = [UInt8](repeating: 0, count: width * 4)
        var result = [UInt8](repeating: 0, count: height * width * 3)
        result.withUnsafeMutableBufferPointer { result in
            line.withUnsafeMutableBufferPointer { line in
                guard let start = line.baseAddress else { return }
                for row in 0..<height {
                    picture.copy(row: row, from: 0, count: width, to: start)
                    let along = turn.rowsReversed ? height - 1 - row : row
                    let first = turn.columnsReversed ? width - 1 : 0
                    var place = along * (turn.isTurned ? 3 : width * 3) + first * step
                    for sample in stride(from: 0, to: width * 4, by: 4) {
                        for channel in 0..<3 {
                            let from = picture.isReversed ? 2 - channel : channel
                            result[place + channel] = line[sample + from]
                        }
                        place += turn.columnsReversed ? -step : step
                    }
                }
            }
        }
        let size = turn.isTurned ? (width, height) : (height, width)
        self.init(size.0, size.1, result, reduction: reduction)
    }

    /// Returns the upright picture.
    ///
    /// - Parameter orientation: The EXIF orientation, 1 to 8. Any other value leaves the picture as it is.
    func upright(from orientation: Int) -> RGBImage {
        guard (2...8).contains(orientation) else { return self }
        return bytes.withUnsafeBytes { bytes in
            let memory = PictureMemory(
                valid: .packed(bytes, bytesPerRow: width * 3, .rgb), height: height, width: width,
                orientation: orientation)
            return RGBImage(memory, reduction: reduction)
        }
    }
}

import Foundation

/// A raw map of a detector.
public struct RawMap: Sendable {
    /// The size of the map.
    public let channels: Int, rows: Int, columns: Int
    /// The values in the order channels, rows, columns.
    public let values: [Float]

    /// - Precondition: There is a value for each channel, row and column.
    public init(channels: Int, rows: Int, columns: Int, values: [Float]) {
        precondition(values.count == channels * rows * columns, "values do not fit the size of the map")
        self.channels = channels
        self.rows = rows
        self.columns = columns
        self.values = values
    }

    subscript(channel: Int, row: Int, column: Int) -> Double {
        Double(values[(channel * rows + row) * columns + column])
    }
}

/// A detected box in pixels of the picture.
public struct Box: Equatable, Sendable {
    /// The class's index.
    public let index: Int
    /// The score, from 0 to 1.
    public let score: Float
    /// The sides, in pixels from the picture's upper left corner.
    public let left: Float, top: Float, right: Float, bottom: Float
}

/// Decodes the maps of a detector and suppresses boxes that overlap with better ones.
///
/// The same as `shvit_mobile/detection/decode.py`, step by step in 64 bits.
public struct BoxDecoder: Sendable {
    /// How boxes are coded, and which are kept.
    public let detection: Detection
    /// How a picture becomes the model's input.
    public let preprocessor: Preprocessor

    private static let maxLogScale = log(1000.0 / 16)

    /// A candidate in pixels of the model's input.
    private struct Candidate {
        let raw: Double
        let index: Int
        var left: Double, top: Double, right: Double, bottom: Double

        var area: Double { (right - left) * (bottom - top) }
    }

    /// - Throws: `SHViTError` if a contract is invalid.
    public init(_ detection: Detection, preprocessing: Preprocessing) throws(SHViTError) {
        do { try detection.check() } catch {
            throw SHViTError.invalidSettings(
                "The detection's \(error.place) \(error.what).",
                why: "The contract comes from the artifact's manifest.",
                next: "Export the model again.")
        }
        self.detection = detection
        preprocessor = try Preprocessor(preprocessing)
    }

    /// Returns the boxes of a picture, best first.
    ///
    /// - Parameters:
    ///   - scores: The raw scores of each level: anchors * classes channels.
    ///   - boxes: The coded boxes of each level: anchors * 4 channels.
    ///   - height: The height of the upright picture in pixels.
    ///   - width: The width of the upright picture in pixels.
    /// - Throws: `SHViTError` if the maps do not fit the contract.
    public func boxes(scores: [RawMap], boxes: [RawMap], height: Int, width: Int) throws(SHViTError) -> [Box] {
        try check(scores: scores, boxes: boxes)
        let (inputHeight, inputWidth) = inputSize
        // Nothing is found in the padding of a letterbox.
        let (rows, columns) = preprocessor.shown(height: height, width: width)
        var found = detection.strides.indices.flatMap { candidates(scores[$0], boxes[$0], level: $0) }
        for place in found.indices {
            found[place].left = Self.limit(found[place].left, columns)
            found[place].top = Self.limit(found[place].top, rows)
            found[place].right = Self.limit(found[place].right, columns)
            found[place].bottom = Self.limit(found[place].bottom, rows)
        }
        let inside = found.filter { $0.right > $0.left && $0.bottom > $0.top }
        let crop = preprocessor.crop(height: height, width: width)
        func move(_ value: Double, _ range: Range<Double>, _ input: Int, _ length: Int) -> Float {
            let scale = (range.upperBound - range.lowerBound) / Double(input)
            return Float(Self.limit(value * scale + range.lowerBound, 0, Double(length)))
        }
        return suppress(Self.sorted(inside)).map {
            Box(
                index: $0.index, score: Float(1 / (1 + exp(-$0.raw))),
                left: move($0.left, crop.columns, inputWidth, width),
                top: move($0.top, crop.rows, inputHeight, height),
                right: move($0.right, crop.columns, inputWidth, width),
                bottom: move($0.bottom, crop.rows, inputHeight, height))
        }
    }

    private var inputSize: (height: Int, width: Int) {
        (preprocessor.preprocessing.size[0], preprocessor.preprocessing.size[1])
    }

    private func check(scores: [RawMap], boxes: [RawMap]) throws(SHViTError) {
        func failure(_ what: String) -> SHViTError {
            .runtimeFailure(what, why: "The maps must fit the artifact's manifest.")
        }
        let levels = detection.strides.count
        if scores.count != levels || boxes.count != levels {
            throw failure(
                "The model returned \(scores.count) maps of scores and \(boxes.count) of boxes for \(levels) strides.")
        }
        let channels = scores[0].channels
        if channels == 0 || channels % detection.anchors != 0 {
            throw failure(
                "The model returned scores with \(channels) channels for \(detection.anchors) boxes a position.")
        }
        for (level, stride) in detection.strides.enumerated() {
            let rows = (inputSize.height + stride - 1) / stride
            let columns = (inputSize.width + stride - 1) / stride
            for (map, expected) in [(scores[level], channels), (boxes[level], 4 * detection.anchors)]
            where map.channels != expected || map.rows != rows || map.columns != columns {
                throw failure(
                    """
                    The model returned a map of \(map.channels) x \(map.rows) x \(map.columns) for stride \(stride), \
                    not \(expected) x \(rows) x \(columns).
                    """)
            }
        }
    }

    /// Returns the best candidates of a level, best first.
    private func candidates(_ scores: RawMap, _ boxes: RawMap, level: Int) -> [Candidate] {
        let classes = scores.channels / detection.anchors
        let threshold = detection.rawScoreThreshold
        let sizes = detection.anchorSizes(stride: detection.strides[level])
        var found: [Candidate] = []
        for row in 0..<scores.rows {
            for column in 0..<scores.columns {
                for channel in 0..<scores.channels where scores[channel, row, column] > threshold {
                    let anchor = channel / classes
                    found.append(
                        candidate(
                            raw: scores[channel, row, column], index: channel % classes, row: row, column: column,
                            values: (0..<4).map { boxes[4 * anchor + $0, row, column] },
                            stride: Double(detection.strides[level]),
                            anchor: detection.boxCoding == .deltas ? sizes[anchor] : nil))
                }
            }
        }
        return Array(Self.sorted(found).prefix(detection.preNmsTopK))
    }

    /// - Parameters:
    ///   - values: The four raw values of the box.
    ///   - anchor: The size of the anchor box; nil for distances.
    private func candidate(
        raw: Double, index: Int, row: Int, column: Int, values: [Double], stride: Double,
        anchor: (width: Double, height: Double)?
    ) -> Candidate {
        let coded = (0..<4).map { values[$0] * detection.boxStds[$0] + detection.boxMeans[$0] }
        let powers = coded.map { exp(Self.limit($0, -Self.maxLogScale, Self.maxLogScale)) }
        let x = (Double(column) + detection.centerOffset) * stride
        let y = (Double(row) + detection.centerOffset) * stride
        guard let anchor else {
            return Candidate(
                raw: raw, index: index, left: x - stride * powers[0], top: y - stride * powers[1],
                right: x + stride * powers[2], bottom: y + stride * powers[3])
        }
        let (centerX, centerY) = (x + anchor.width * coded[0], y + anchor.height * coded[1])
        let (width, height) = (anchor.width * powers[2], anchor.height * powers[3])
        return Candidate(
            raw: raw, index: index, left: centerX - width / 2, top: centerY - height / 2, right: centerX + width / 2,
            bottom: centerY + height / 2)
    }

    /// Returns the boxes that overlap with no better one that is kept, from boxes that are ordered, best first.
    private func suppress(_ boxes: [Candidate]) -> [Candidate] {
        var kept: [Candidate] = []
        for box in boxes where kept.count < detection.maxBoxes {
            let isDropped = kept.contains {
                (!detection.classWiseNms || $0.index == box.index) && Self.overlap($0, box) > detection.nmsIou
            }
            if !isDropped { kept.append(box) }
        }
        return kept
    }

    private static func overlap(_ one: Candidate, _ other: Candidate) -> Double {
        let width = max(min(one.right, other.right) - max(one.left, other.left), 0)
        let height = max(min(one.bottom, other.bottom) - max(one.top, other.top), 0)
        let shared = width * height
        return shared / (one.area + other.area - shared)
    }

    /// Returns candidates by raw score, highest first; of equal ones the first comes first.
    private static func sorted(_ found: [Candidate]) -> [Candidate] {
        found.enumerated().sorted {
            $0.element.raw > $1.element.raw || ($0.element.raw == $1.element.raw && $0.offset < $1.offset)
        }.map(\.element)
    }

    private static func limit(_ value: Double, _ part: Range<Int>) -> Double {
        limit(value, Double(part.lowerBound), Double(part.upperBound))
    }

    /// Limits a value; what is not a number stays so.
    private static func limit(_ value: Double, _ least: Double, _ most: Double) -> Double {
        value < least ? least : value > most ? most : value
    }
}

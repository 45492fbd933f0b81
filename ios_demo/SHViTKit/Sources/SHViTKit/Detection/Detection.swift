import Foundation

/// How boxes are coded in the maps of a detector, and which of them are kept.
///
/// The same as `shvit_mobile/contracts/detection.py`; `docs/guides/detection.md` describes the steps.
public struct Detection: Codable, Equatable, Sendable, Checked {
    /// How the maps describe boxes.
    public enum BoxCoding: String, Word {
        /// Offsets of the center in sides of an anchor box, and logarithms of the ratio of the sides.
        case deltas
        /// Logarithms of the distances in strides from the center to the left, top, right and bottom side.
        case distances
    }

    /// What makes a score from 0 to 1 of a raw score.
    public enum ScoreActivation: String, Word {
        case sigmoid
    }

    enum CodingKeys: CodingKey, CaseIterable {
        case strides, boxCoding, centerOffset, anchorScales, anchorRatios, boxMeans, boxStds, scoreActivation
        case scoreThreshold, preNmsTopK, nmsIou, classWiseNms, maxBoxes
    }

    /// The stride of each level in pixels, increasing.
    public var strides: [Int]
    /// How the maps describe boxes.
    public var boxCoding: BoxCoding
    /// 0 for a center at the corner of a position, 0.5 for one in its middle.
    public var centerOffset: Double
    /// The sides of the square anchor boxes in strides; empty for distances.
    public var anchorScales: [Double]
    /// Height by width of the anchor boxes; empty for distances.
    public var anchorRatios: [Double]
    /// A raw value r stands for r * std + mean, for each of the four.
    public var boxMeans: [Double]
    /// The deviations, like `boxMeans`.
    public var boxStds: [Double]
    /// What makes a score of a raw score.
    public var scoreActivation: ScoreActivation
    /// Only scores above it count.
    public var scoreThreshold: Double
    /// The number of scores of a level, at most, that count.
    public var preNmsTopK: Int
    /// A box is dropped if its intersection over union with a better one exceeds this.
    public var nmsIou: Double
    /// Whether only boxes of the same class drop each other.
    public var classWiseNms: Bool
    /// The number of boxes, at most, of a picture.
    public var maxBoxes: Int

    /// Creates a contract.
    public init(
        strides: [Int],
        boxCoding: BoxCoding,
        centerOffset: Double = 0,
        anchorScales: [Double] = [],
        anchorRatios: [Double] = [],
        boxMeans: [Double] = [0, 0, 0, 0],
        boxStds: [Double] = [1, 1, 1, 1],
        scoreActivation: ScoreActivation = .sigmoid,
        scoreThreshold: Double = 0.05,
        preNmsTopK: Int = 1000,
        nmsIou: Double = 0.5,
        classWiseNms: Bool = true,
        maxBoxes: Int = 100
    ) {
        self.strides = strides
        self.boxCoding = boxCoding
        self.centerOffset = centerOffset
        self.anchorScales = anchorScales
        self.anchorRatios = anchorRatios
        self.boxMeans = boxMeans
        self.boxStds = boxStds
        self.scoreActivation = scoreActivation
        self.scoreThreshold = scoreThreshold
        self.preNmsTopK = preNmsTopK
        self.nmsIou = nmsIou
        self.classWiseNms = classWiseNms
        self.maxBoxes = maxBoxes
    }

    /// Decodes a contract.
    ///
    /// Unknown fields are rejected in every version, since they could change the boxes in an unknown way.
    public init(from decoder: any Decoder) throws {
        try decoder.rejectFields(otherThan: CodingKeys.self, "is an unknown field, which could change the boxes")
        let values = try decoder.container(keyedBy: CodingKeys.self)
        strides = try values.decode([Int].self, forKey: .strides)
        boxCoding = try values.decode(BoxCoding.self, forKey: .boxCoding)
        centerOffset = try values.decode(Double.self, forKey: .centerOffset)
        anchorScales = try values.decode([Double].self, forKey: .anchorScales)
        anchorRatios = try values.decode([Double].self, forKey: .anchorRatios)
        boxMeans = try values.decode([Double].self, forKey: .boxMeans)
        boxStds = try values.decode([Double].self, forKey: .boxStds)
        scoreActivation = try values.decode(ScoreActivation.self, forKey: .scoreActivation)
        scoreThreshold = try values.decode(Double.self, forKey: .scoreThreshold)
        preNmsTopK = try values.decode(Int.self, forKey: .preNmsTopK)
        nmsIou = try values.decode(Double.self, forKey: .nmsIou)
        classWiseNms = try values.decode(Bool.self, forKey: .classWiseNms)
        maxBoxes = try values.decode(Int.self, forKey: .maxBoxes)
    }

    /// The number of boxes that a position has.
    public var anchors: Int {
        boxCoding == .deltas ? anchorScales.count * anchorRatios.count : 1
    }

    /// The raw score whose score is `scoreThreshold`.
    var rawScoreThreshold: Double { log(scoreThreshold / (1 - scoreThreshold)) }

    /// Returns the sizes in pixels of the anchor boxes of a level: ordered by ratio, then by scale.
    func anchorSizes(stride: Int) -> [(width: Double, height: Double)] {
        anchorRatios.flatMap { ratio in
            anchorScales.map { scale in
                (Double(stride) * scale / ratio.squareRoot(), Double(stride) * scale * ratio.squareRoot())
            }
        }
    }

    func check() throws(Fault) {
        let isIncreasing = zip(strides, strides.dropFirst()).allSatisfy(<)
        if strides.isEmpty || !isIncreasing || !strides.allSatisfy((1...1024).contains) {
            throw Fault("strides", "is \(strides), not increasing numbers of 1 to 1024")
        }
        try check(centerOffset, "center_offset", in: 0...1)
        for (name, values) in [("anchor_scales", anchorScales), ("anchor_ratios", anchorRatios)] {
            let fits =
                switch boxCoding {
                case .distances: values.isEmpty
                case .deltas: (1...16).contains(values.count) && values.allSatisfy((0.001...1000).contains)
                }
            if !fits { throw Fault(name, "is \(values), which does not fit \(boxCoding.rawValue)") }
        }
        if boxMeans.count != 4 || !boxMeans.allSatisfy((-1000...1000).contains) {
            throw Fault("box_means", "is \(boxMeans), not four numbers from -1000 to 1000")
        }
        if boxStds.count != 4 || !boxStds.allSatisfy((1e-6...1000).contains) {
            throw Fault("box_stds", "is \(boxStds), not four numbers from 1e-6 to 1000")
        }
        if !(scoreThreshold > 0 && scoreThreshold < 1) {
            throw Fault("score_threshold", "is \(scoreThreshold), not above 0 and below 1")
        }
        try check(nmsIou, "nms_iou", in: 0...1)
        for (name, count) in [("pre_nms_top_k", preNmsTopK), ("max_boxes", maxBoxes)]
        where !(1...100_000).contains(count) {
            throw Fault(name, "is \(count), not 1 to 100000")
        }
    }
}

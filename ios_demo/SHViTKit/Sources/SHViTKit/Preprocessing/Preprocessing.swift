/// The preprocessing contract of a model: resize, center crop or pad, normalize.
///
/// Every manifest contains it. The picture is resized to `size / cropRatio` and cropped to `size` at its center, or fitted
/// into `size` and padded. Values
/// become `(value / 255 - mean) / std`; most artifacts do this step themselves.
public struct Preprocessing: Codable, Equatable, Sendable, Checked {
    /// A resampling filter, widened when it shrinks a picture.
    public enum Interpolation: String, Word {
        case nearest, bilinear, bicubic, lanczos
    }

    /// The channel order that a model expects.
    public enum ChannelOrder: String, Word {
        case rgb, bgr
    }

    /// Whether resizing keeps the aspect ratio of a picture.
    public enum ResizeMode: String, Word {
        /// Keeps the ratio: the resized picture covers `size / cropRatio`.
        case cover
        /// Resizes both sides to `size / cropRatio`, like timm's crop mode "squash".
        case squash
        /// Keeps the ratio, shows all of the picture, and pads the rest of `size`.
        case letterbox
    }

    /// Where a letterbox is padded.
    public enum Padding: String, Word {
        /// On both sides of the picture, the odd pixel on the right or at the bottom.
        case center
        /// Only on the right or at the bottom, as mmdet does.
        case end
    }

    enum CodingKeys: CodingKey, CaseIterable {
        case size, cropRatio, interpolation, mean, std, channelOrder, resizeMode, padding, paddingValue
    }

    /// The (height, width) of the model's input, in pixels; at most 2048.
    public var size: [Int]
    /// The share of the resized picture's tighter side that the crop keeps, from 0.1 to 1.
    public var cropRatio: Double
    /// The filter that resizes the picture.
    public var interpolation: Interpolation
    /// The mean of each channel, in the range 0 to 1 and in the order of `channelOrder`.
    public var mean: [Double]
    /// The standard deviation of each channel, like `mean`; from 0.001 to 1.
    public var std: [Double]
    /// The channel order of the model's input.
    public var channelOrder: ChannelOrder
    /// Whether resizing keeps the aspect ratio.
    public var resizeMode: ResizeMode
    /// Where a letterbox is padded; nil for other modes.
    public var padding: Padding?
    /// The padding of a letterbox in each channel, from 0 to 255, in the order of `channelOrder`; nil for other modes.
    public var paddingValue: [Int]?

    /// Creates a preprocessing contract (default: ImageNet's).
    public init(
        size: [Int] = [224, 224],
        cropRatio: Double = 0.875,
        interpolation: Interpolation = .bicubic,
        mean: [Double] = [0.485, 0.456, 0.406],
        std: [Double] = [0.229, 0.224, 0.225],
        channelOrder: ChannelOrder = .rgb,
        resizeMode: ResizeMode = .cover,
        padding: Padding? = nil,
        paddingValue: [Int]? = nil
    ) {
        self.size = size
        self.cropRatio = cropRatio
        self.interpolation = interpolation
        self.mean = mean
        self.std = std
        self.channelOrder = channelOrder
        self.resizeMode = resizeMode
        self.padding = padding
        self.paddingValue = paddingValue
    }

    /// Decodes a contract. A missing field has ImageNet's value.
    ///
    /// Unknown fields are rejected in every version, since they could change the pixels in an unknown way.
    public init(from decoder: any Decoder) throws {
        try decoder.rejectFields(otherThan: CodingKeys.self, "is an unknown field, which could change the pixels")
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let standard = Preprocessing()
        size = try values.decodeIfPresent([Int].self, forKey: .size) ?? standard.size
        cropRatio = try values.decodeIfPresent(Double.self, forKey: .cropRatio) ?? standard.cropRatio
        interpolation = try values.decodeIfPresent(Interpolation.self, forKey: .interpolation) ?? standard.interpolation
        mean = try values.decodeIfPresent([Double].self, forKey: .mean) ?? standard.mean
        std = try values.decodeIfPresent([Double].self, forKey: .std) ?? standard.std
        channelOrder = try values.decodeIfPresent(ChannelOrder.self, forKey: .channelOrder) ?? standard.channelOrder
        resizeMode = try values.decodeIfPresent(ResizeMode.self, forKey: .resizeMode) ?? standard.resizeMode
        padding = try values.decodeIfPresent(Padding.self, forKey: .padding)
        paddingValue = try values.decodeIfPresent([Int].self, forKey: .paddingValue)
    }

    func check() throws(Fault) {
        if size.count != 2 || !size.allSatisfy((1...2048).contains) {
            throw Fault("size", "is \(size), not a height and a width of 1 to 2048")
        }
        if !(0.1...1).contains(cropRatio) || Double(max(size[0], size[1])) / cropRatio > 4096 {
            throw Fault("crop_ratio", "is \(cropRatio), not 0.1 to 1 with size / crop_ratio of at most 4096")
        }
        if mean.count != 3 || !mean.allSatisfy((0...1).contains) {
            throw Fault("mean", "is \(mean), not three numbers from 0 to 1")
        }
        if std.count != 3 || !std.allSatisfy((0.001...1).contains) {
            throw Fault("std", "is \(std), not three numbers from 0.001 to 1")
        }
        try checkPadding()
    }

    private func checkPadding() throws(Fault) {
        guard resizeMode == .letterbox else {
            if padding != nil { throw Fault("padding", "is for a letterbox, not for \(resizeMode.rawValue)") }
            if paddingValue != nil {
                throw Fault("padding_value", "is for a letterbox, not for \(resizeMode.rawValue)")
            }
            return
        }
        if padding == nil { throw Fault("padding", "is missing") }
        guard let paddingValue, paddingValue.count == 3, paddingValue.allSatisfy((0...255).contains) else {
            throw Fault("padding_value", "is \(paddingValue ?? []), not three numbers from 0 to 255")
        }
        if cropRatio != 1 { throw Fault("crop_ratio", "is \(cropRatio), and a letterbox crops nothing") }
    }
}

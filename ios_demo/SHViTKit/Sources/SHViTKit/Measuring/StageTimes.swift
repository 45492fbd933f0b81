/// How long each stage of a frame takes, in the order of time. Device reports have the same names.
public struct StageTimes: Equatable, Sendable {
    /// From the picture in memory to the values of the tensor, or to the pixels for a model that takes a picture.
    public var preprocessing: Duration
    /// From these to the runtime's own input.
    public var tensor: Duration
    /// The call of the runtime alone.
    public var inference: Duration
    /// From the runtime's outputs to the labels with their probabilities, or to boxes.
    public var decoding: Duration

    /// Creates the times of a frame.
    public init(
        preprocessing: Duration = .zero, tensor: Duration = .zero, inference: Duration = .zero,
        decoding: Duration = .zero
    ) {
        self.preprocessing = preprocessing
        self.tensor = tensor
        self.inference = inference
        self.decoding = decoding
    }
}

/// The result of an inference, and how long its stages took.
public struct TimedOutputs: Sendable {
    /// The values of each output, by its name in the manifest.
    public let outputs: [String: [Float]]
    /// The tensor's values count as preprocessing, the runtime's input as tensor, its call as inference, and the reading
    /// of its outputs as decoding.
    public let times: StageTimes

    /// Creates a result.
    public init(outputs: [String: [Float]], times: StageTimes) {
        self.outputs = outputs
        self.times = times
    }
}

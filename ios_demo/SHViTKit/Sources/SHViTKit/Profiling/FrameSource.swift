/// A picture in memory that a benchmark takes from there to labels, as a camera's frame.
public struct FrameSource: Sendable {
    /// What the report says about the picture.
    public let picture: DeviceReport.FramePicture
    private let pixels: @Sendable () throws -> RGBImage
    private let labels: [String]

    /// - Parameters:
    ///   - picture: What the report says about the picture.
    ///   - source: The picture.
    ///   - preprocessor: The model's preprocessing.
    ///   - labels: The model's labels.
    public init(
        _ picture: DeviceReport.FramePicture, source: some PictureSource, preprocessor: Preprocessor, labels: [String]
    ) {
        self.picture = picture
        self.labels = labels
        pixels = { try preprocessor.pixels(of: source) }
    }

    /// Returns a frame like those of the app's camera: 640 x 480, 32BGRA, upright.
    public static func camera(preprocessor: Preprocessor, labels: [String]) -> FrameSource {
        let source = CameraLike(height: 480, width: 640)
        let picture = DeviceReport.FramePicture(width: source.width, height: source.height, format: .bgra)
        return FrameSource(picture, source: source, preprocessor: preprocessor, labels: labels)
    }

    /// Takes the picture through all stages; returns how long each of them and all of it took.
    func run(
        _ classifier: any Classifier, stopwatch: Stopwatch
    ) async throws -> (times: StageTimes, total: Duration) {
        let begun = stopwatch.now()
        let pixels = try pixels()
        let prepared = stopwatch.now()
        let timed = try await classifier.timedLogits(for: pixels, stopwatch: stopwatch)
        let answered = stopwatch.now()
        _ = predictions(5, of: timed.logits, labels: labels)
        let end = stopwatch.now()
        var times = timed.times
        times.preprocessing += prepared - begun
        times.decoding += end - answered
        return (times, end - begun)
    }
}

/// A picture in BGRA. Neighbors differ, so that nothing about it is especially fast.
private struct CameraLike: PictureSource {
    let height: Int
    let width: Int
    private let bytes: [UInt8]

    init(height: Int, width: Int) {
        (self.height, self.width) = (height, width)
        bytes = (0..<height * width * 4).map { UInt8(truncatingIfNeeded: $0 * 31 + $0 / width * 17) }
    }

    func withMemory<Value>(_ body: (PictureMemory) -> Value) throws(SHViTError) -> Value {
        let result: Result<Value, SHViTError> = bytes.withUnsafeBytes { memory in
            Result { () throws(SHViTError) in
                body(
                    try PictureMemory(
                        memory, height: height, width: width, bytesPerRow: width * 4, layout: .bgra))
            }
        }
        return try result.get()
    }
}

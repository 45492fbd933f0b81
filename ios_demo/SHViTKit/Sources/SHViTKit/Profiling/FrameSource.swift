/// A picture in memory that a benchmark takes from there to labels or boxes, as a camera's frame.
public struct FrameSource: Sendable {
    /// What the report says about the picture.
    public let picture: DeviceReport.FramePicture
    private let read: @Sendable () throws -> (pixels: RGBImage, size: (height: Int, width: Int))
    private let decoder: OutputDecoder

    /// - Parameters:
    ///   - picture: What the report says about the picture.
    ///   - source: The picture.
    ///   - preprocessor: The model's preprocessing.
    ///   - decoder: What makes labels or boxes of the model's outputs.
    public init(
        _ picture: DeviceReport.FramePicture, source: some PictureSource, preprocessor: Preprocessor,
        decoder: OutputDecoder
    ) {
        self.picture = picture
        self.decoder = decoder
        read = { try source.withMemory { (pixels: preprocessor.pixels(of: $0), size: $0.uprightSize) } }
    }

    /// Returns a frame like those of the app's camera: 640 x 480, 32BGRA, upright.
    public static func camera(preprocessor: Preprocessor, decoder: OutputDecoder) -> FrameSource {
        let source = CameraLike(height: 480, width: 640)
        let picture = DeviceReport.FramePicture(width: source.width, height: source.height, format: .bgra)
        return FrameSource(picture, source: source, preprocessor: preprocessor, decoder: decoder)
    }

    /// Takes the picture through all stages; returns how long each of them and all of it took.
    func run(
        _ runner: any Runner, stopwatch: Stopwatch
    ) async throws -> (times: StageTimes, total: Duration) {
        let begun = stopwatch.now()
        let (pixels, size) = try read()
        let prepared = stopwatch.now()
        let timed = try await runner.timedOutputs(for: pixels, stopwatch: stopwatch)
        let answered = stopwatch.now()
        _ = try decoder.finding(in: timed.outputs, height: size.height, width: size.width)
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

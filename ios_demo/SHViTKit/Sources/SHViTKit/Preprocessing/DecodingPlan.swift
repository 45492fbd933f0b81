/// The scale at which a photo is decoded, by a rule that Python (`shvit_mobile/images/reduction.py`) and the Android
/// library share.
struct DecodingPlan {
    /// What the decoder divides each side by: a power of two.
    let reduction: Int
    /// The height of the decoded picture in memory, of which a decoder may give a row more.
    let height: Int
    /// The width of the decoded picture in memory, of which a decoder may give a column more.
    let width: Int

    /// What decoders of JPEG can divide the sides by, at most.
    private static let mostReduction = 8
    /// A decoded photo and the memory that it is drawn into take 8 bytes a pixel: 134 MB.
    private static let mostPixels = 1 << 24
    /// With fewer pixels, the reduced scale changes the model's pixels more than another decoder does.
    private static let leastOversize = 2

    /// Plans the decoding of a photo.
    ///
    /// - Parameters:
    ///   - height: The height that the file states.
    ///   - width: The width that the file states.
    ///   - orientation: The EXIF orientation.
    ///   - isJPEG: Whether the file is a JPEG; nothing else is decoded at reduced scale because the app allows it.
    ///   - preprocessing: The preprocessing of the model, if the app allows the reduced scale.
    /// - Throws: `SHViTError` if the size is invalid, or would have to be divided by more than 8.
    init(
        height: Int, width: Int, orientation: Int = 1, isJPEG: Bool = true,
        reducedFor preprocessing: Preprocessing? = nil
    ) throws(SHViTError) {
        guard height > 0, width > 0 else {
            throw .undecodablePicture("The picture has \(width) x \(height) pixels.", why: "The file may be damaged.")
        }
        guard !height.multipliedReportingOverflow(by: width).overflow else { throw Self.tooLarge(height, width) }
        let isTurned = Turn(orientation: orientation).isTurned
        let preprocessor = isJPEG ? try preprocessing.map { value throws(SHViTError) in try Preprocessor(value) } : nil
        reduction = Self.reduction(
            height: isTurned ? width : height, width: isTurned ? height : width, for: preprocessor)
        guard reduction <= Self.mostReduction else { throw Self.tooLarge(height, width) }
        self.height = Self.divided(height, by: reduction)
        self.width = Self.divided(width, by: reduction)
    }

    /// Checks the size that a decoder gave, which may be one pixel longer where a side cannot be divided evenly.
    ///
    /// - Throws: `SHViTError` if the decoder used another scale.
    func check(height decodedHeight: Int, width decodedWidth: Int) throws(SHViTError) {
        guard (0...1).contains(decodedHeight - height), (0...1).contains(decodedWidth - width) else {
            throw .undecodablePicture(
                "The decoder returned \(decodedWidth) x \(decodedHeight) pixels instead of \(width) x \(height).",
                why: "It does not decode this picture at 1/\(reduction) of its size.")
        }
    }

    /// Returns the power of two by which the sides of an upright photo are divided.
    ///
    /// It is 1 for a photo of at most 2^24 pixels; a larger one is divided until it has no more. With a preprocessor, a
    /// JPEG is divided further, by at most 8, if both sides can be divided without a remainder and stay at least twice as
    /// long as preprocessing resizes them to.
    static func reduction(height: Int, width: Int, for preprocessor: Preprocessor? = nil) -> Int {
        var reduction = 1
        while divided(height, by: reduction) * divided(width, by: reduction) > mostPixels { reduction *= 2 }
        guard let preprocessor else { return reduction }
        let resized = preprocessor.resizedSize(height: height, width: width)
        func fits(_ side: Int, _ resized: Int, _ divisor: Int) -> Bool {
            side % divisor == 0 && side / divisor >= leastOversize * resized
        }
        while 2 * reduction <= mostReduction, fits(height, resized.height, 2 * reduction),
            fits(width, resized.width, 2 * reduction)
        {
            reduction *= 2
        }
        return reduction
    }

    /// Returns a side divided without its remainder; a picture keeps at least one pixel.
    private static func divided(_ side: Int, by reduction: Int) -> Int { max(side / reduction, 1) }

    private static func tooLarge(_ height: Int, _ width: Int) -> SHViTError {
        .unsupportedInput(
            "The picture has \(width) x \(height) pixels.", why: "A phone's memory is limited.",
            next: "Choose another picture.")
    }
}

import Foundation

/// Resamples one side of a picture, bit-exact with Pillow's `Image.resize` (`Resample.c`, `Geometry.c`).
///
/// Pillow resamples 8-bit pictures in two passes with fixed-point weights and rounds to 8 bits after each, so the
/// passes and their order are part of the result. A pass computes only the requested positions.
struct Resampling {
    /// The fraction bits of a weight: Pillow's `PRECISION_BITS`, which leaves 8 bits for the value and 2 for overshoot.
    private static let precision = 32 - 8 - 2

    /// For each position of the result, the first source position and the weights from there on.
    private let taps: [(first: Int, weights: [Int32])]

    /// Computes the weights of a pass.
    ///
    /// - Parameters:
    ///   - length: The side's length, in pixels.
    ///   - resized: The side's length after resizing.
    ///   - kept: The positions of the resized side to compute.
    ///   - interpolation: The filter.
    init(from length: Int, to resized: Int, kept: Range<Int>, interpolation: Preprocessing.Interpolation) {
        if length == resized {
            taps = kept.map { ($0, [1 << Self.precision]) }
        } else if let filter = Filter(interpolation) {
            let scale = Double(length) / Double(resized)
            taps = kept.map { Self.tap(at: $0, scale: scale, length: length, filter: filter) }
        } else {
            let nearest = Self.nearest(from: length, to: resized)
            taps = kept.map { (nearest[$0], [1 << Self.precision]) }
        }
    }

    /// Resamples every row of a picture.
    func alongRows(_ picture: RGBImage) -> RGBImage {
        var result = [UInt8](repeating: 0, count: picture.height * taps.count * 3)
        picture.bytes.withUnsafeBufferPointer { source in
            var place = 0
            for row in 0..<picture.height {
                for (first, weights) in taps {
                    let start = (row * picture.width + first) * 3
                    for channel in 0..<3 {
                        result[place] = Self.sum(source, weights, from: start + channel, step: 3)
                        place += 1
                    }
                }
            }
        }
        return RGBImage(picture.height, taps.count, result)
    }

    /// Resamples every column of a picture.
    func alongColumns(_ picture: RGBImage) -> RGBImage {
        let step = picture.width * 3
        var result = [UInt8](repeating: 0, count: taps.count * step)
        picture.bytes.withUnsafeBufferPointer { source in
            var place = 0
            for (first, weights) in taps {
                for offset in 0..<step {
                    result[place] = Self.sum(source, weights, from: first * step + offset, step: step)
                    place += 1
                }
            }
        }
        return RGBImage(taps.count, picture.width, result)
    }

    /// Returns a weighted sum in fixed point, rounded and clipped to 0 to 255.
    private static func sum(
        _ source: UnsafeBufferPointer<UInt8>, _ weights: [Int32], from start: Int, step: Int
    ) -> UInt8 {
        var total: Int32 = 1 << (precision - 1)
        var place = start
        for weight in weights {
            total &+= Int32(source[place]) &* weight
            place += step
        }
        return UInt8(clamping: total >> precision)
    }

    /// Returns the weights of a position: Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc`.
    private static func tap(
        at position: Int, scale: Double, length: Int, filter: Filter
    ) -> (first: Int, weights: [Int32]) {
        let widened = max(scale, 1)
        let support = filter.support * widened
        let center = (Double(position) + 0.5) * scale
        let first = max(Int(center - support + 0.5), 0)
        let last = min(Int(center + support + 0.5), length)
        let weights = (0..<last - first).map { filter.value((Double($0 + first) - center + 0.5) * (1 / widened)) }
        let total = weights.reduce(0, +)
        let shares = total == 0 ? weights : weights.map { $0 / total }
        return (first, shares.map { Int32($0 * Double(1 << precision) + ($0 < 0 ? -0.5 : 0.5)) })
    }

    /// Returns the nearest source position of each result position: Pillow's `ImagingScaleAffine`, which accumulates
    /// the scale.
    private static func nearest(from length: Int, to resized: Int) -> [Int] {
        let scale = Double(length) / Double(resized)
        var place = scale * 0.5
        return (0..<resized).map { _ in
            defer { place += scale }
            return min(Int(place), length - 1)
        }
    }
}

/// A filter's weight by distance from the center, in pixels of the coarser picture.
private struct Filter {
    /// The distance beyond which all weights are 0.
    let support: Double
    let value: (Double) -> Double

    /// Nil for "nearest", which has no weights.
    init?(_ interpolation: Preprocessing.Interpolation) {
        switch interpolation {
        case .nearest: return nil
        case .bilinear: (support, value) = (1, Self.bilinear)
        case .bicubic: (support, value) = (2, Self.bicubic)
        case .lanczos: (support, value) = (3, Self.lanczos)
        }
    }

    private static func bilinear(_ distance: Double) -> Double {
        max(1 - abs(distance), 0)
    }

    /// The Keys kernel with a = -0.5.
    private static func bicubic(_ distance: Double) -> Double {
        let (x, a) = (abs(distance), -0.5)
        if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
        if x < 2 { return (((x - 5) * x + 8) * x - 4) * a }
        return 0
    }

    private static func lanczos(_ distance: Double) -> Double {
        -3 <= distance && distance < 3 ? sinc(distance) * sinc(distance / 3) : 0
    }

    private static func sinc(_ x: Double) -> Double {
        x == 0 ? 1 : sin(x * .pi) / (x * .pi)
    }
}

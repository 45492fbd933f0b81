import Foundation

/// The weights that resample one side of a picture, bit-exact with Pillow's `Image.resize` (`Resample.c`, `Geometry.c`).
///
/// Pillow resamples 8-bit pictures in two passes with fixed-point weights and rounds to 8 bits after each, so the
/// passes and their order are part of the result.
struct Resampling {
    /// The fraction bits of a weight: Pillow's `PRECISION_BITS`, which leaves 8 bits for the value and 2 for overshoot.
    static let precision: Int32 = 32 - 8 - 2

    /// For each position of the result, the first source position.
    private(set) var firsts: [Int] = []
    /// For each position of the result, the place of its first weight. The last entry is the number of weights.
    private(set) var starts: [Int] = [0]
    /// The weights of all positions, one position after the other.
    private(set) var weights: [Int32] = []
    /// The source positions that have a weight.
    let used: Range<Int>

    /// Computes the weights of a pass.
    ///
    /// - Parameters:
    ///   - length: The side's length, in pixels.
    ///   - resized: The side's length after resizing.
    ///   - kept: The positions of the resized side to compute.
    ///   - interpolation: The filter.
    init(from length: Int, to resized: Int, kept: Range<Int>, interpolation: Preprocessing.Interpolation) {
        let taps: [(first: Int, weights: [Int32])]
        if length == resized {
            taps = kept.map { ($0, [1 << Self.precision]) }
        } else if let filter = Filter(interpolation) {
            let scale = Double(length) / Double(resized)
            taps = kept.map { Self.tap(at: $0, scale: scale, length: length, filter: filter) }
        } else {
            let nearest = Self.nearest(from: length, to: resized)
            taps = kept.map { (nearest[$0], [1 << Self.precision]) }
        }
        for tap in taps {
            firsts.append(tap.first)
            weights += tap.weights
            starts.append(weights.count)
        }
        let low = taps.map(\.first).min() ?? 0
        used = low..<(taps.map { $0.first + $0.weights.count }.max() ?? low)
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
        return (first, shares.map { Int32($0 * Double(1 << Int(precision)) + ($0 < 0 ? -0.5 : 0.5)) })
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

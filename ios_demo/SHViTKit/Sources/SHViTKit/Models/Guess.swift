import Foundation

/// A class and how likely a model holds it.
public struct Guess: Equatable, Sendable, Identifiable {
    /// The class's index among the logits.
    public let id: Int
    /// The class's name.
    public let label: String
    /// 0 to 1.
    public let probability: Double
}

/// Shares of 1 in proportion to e to the power of each logit.
public func softmax(_ logits: [Float]) -> [Double] {
    guard let most = logits.max() else { return [] }
    // Differences from the largest: e to the power of a large logit would be infinite.
    let powers = logits.map { exp(Double($0) - Double(most)) }
    let total = powers.reduce(0, +)
    return powers.map { $0 / total }
}

/// The most likely classes, the likeliest first; of two alike, the one that comes first.
///
/// - Parameters:
///   - count: how many at most.
///   - logits: of one picture.
///   - labels: the classes' names; one that is missing is its index.
public func guesses(_ count: Int, of logits: [Float], labels: [String]) -> [Guess] {
    let ranked = softmax(logits).enumerated().sorted { ($1.element, $0.offset) < ($0.element, $1.offset) }
    return ranked.prefix(max(count, 0)).map { index, probability in
        Guess(id: index, label: labels.indices.contains(index) ? labels[index] : "\(index)", probability: probability)
    }
}

/// The index of the largest; of two alike, the first. Nil where there are none.
func largestIndex<Value: Comparable>(_ values: [Value]) -> Int? {
    values.indices.max { (values[$0], $1) < (values[$1], $0) }
}

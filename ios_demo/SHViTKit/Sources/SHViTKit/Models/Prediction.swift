import Foundation

/// A class and its probability.
public struct Prediction: Equatable, Sendable, Identifiable {
    /// The class's index among the logits.
    public let id: Int
    /// The class's name.
    public let label: String
    /// The probability, from 0 to 1.
    public let probability: Double
}

/// Returns the softmax of logits.
public func softmax(_ logits: [Float]) -> [Double] {
    guard let most = logits.max() else { return [] }
    // Subtract the maximum: exp of a large logit would be infinite.
    let powers = logits.map { exp(Double($0) - Double(most)) }
    let total = powers.reduce(0, +)
    return powers.map { $0 / total }
}

/// Returns the most likely classes, most likely first. The lower index wins a tie.
///
/// - Parameters:
///   - count: The maximum number of classes.
///   - logits: The logits of one picture.
///   - labels: The class names; a missing name is replaced by the index.
public func predictions(_ count: Int, of logits: [Float], labels: [String]) -> [Prediction] {
    let ranked = softmax(logits).enumerated().sorted { ($1.element, $0.offset) < ($0.element, $1.offset) }
    return ranked.prefix(max(count, 0)).map { index, probability in
        Prediction(
            id: index, label: labels.indices.contains(index) ? labels[index] : "\(index)", probability: probability)
    }
}

/// Returns the index of the largest value, the first one if there are several; nil for no values.
func largestIndex<Value: Comparable>(_ values: [Value]) -> Int? {
    values.indices.max { (values[$0], $1) < (values[$1], $0) }
}

/// What a model finds in a picture.
public enum Finding: Equatable, Sendable {
    /// The most likely classes, most likely first.
    case classes([Prediction])
    /// Objects with their boxes, best first.
    case objects([DetectedObject])
    /// Feature maps, which mean nothing to a person.
    case maps
}

/// An object in a picture.
public struct DetectedObject: Equatable, Sendable {
    /// The class's name.
    public let label: String
    /// The class's index, the score, and the sides in pixels of the upright picture.
    public let box: Box

    /// Creates an object.
    public init(label: String, box: Box) {
        self.label = label
        self.box = box
    }
}

/// Makes classes or boxes of a model's outputs, by the task in its manifest.
public struct OutputDecoder: Sendable {
    private enum Way: Sendable {
        case logits(String)
        case boxes(BoxDecoder, scores: [Manifest.OutputMap], boxes: [Manifest.OutputMap])
        case maps
    }

    private let way: Way
    private let labels: [String]

    /// - Parameters:
    ///   - manifest: The model's manifest.
    ///   - labels: The class names.
    /// - Throws: `SHViTError` if the manifest contradicts itself.
    public init(_ manifest: Manifest, labels: [String]) throws(SHViTError) {
        self.labels = labels
        let maps = manifest.output.maps ?? []
        if let logits = manifest.output.logits {
            way = .logits(logits)
        } else if let detection = manifest.detection {
            let levels = detection.strides.count
            way = .boxes(
                try BoxDecoder(detection, preprocessing: manifest.preprocessing), scores: Array(maps.prefix(levels)),
                boxes: Array(maps.dropFirst(levels)))
        } else {
            way = .maps
        }
    }

    /// Returns what a model finds in a picture.
    ///
    /// - Parameters:
    ///   - outputs: The values of each output, by its name.
    ///   - height: The height of the upright picture in pixels.
    ///   - width: The width of the upright picture in pixels.
    ///   - count: The maximum number of classes.
    /// - Throws: `runtimeFailure` if the outputs do not fit the manifest.
    public func finding(
        in outputs: [String: [Float]], height: Int, width: Int, count: Int = 5
    ) throws(SHViTError) -> Finding {
        switch way {
        case .logits(let name):
            let logits = outputs[name] ?? []
            guard logits.count == labels.count, logits.allSatisfy(\.isFinite) else {
                throw .runtimeFailure(
                    "The model returned \(logits.count) logits for \(labels.count) classes, or one that is not finite.",
                    why: "Each class needs a finite number.", next: ModelStore.embed)
            }
            return .classes(predictions(count, of: logits, labels: labels))
        case .boxes(let decoder, let scores, let boxes):
            let found = try decoder.boxes(
                scores: Self.maps(scores, in: outputs), boxes: Self.maps(boxes, in: outputs), height: height,
                width: width)
            return .objects(
                found.map {
                    DetectedObject(label: labels.indices.contains($0.index) ? labels[$0.index] : "\($0.index)", box: $0)
                })
        case .maps:
            return .maps
        }
    }

    private static func maps(
        _ contracts: [Manifest.OutputMap], in outputs: [String: [Float]]
    ) throws(SHViTError) -> [RawMap] {
        var maps: [RawMap] = []
        for contract in contracts {
            let values = outputs[contract.name] ?? []
            guard values.count == contract.shape.reduce(1, *) else {
                throw .runtimeFailure(
                    "The model returned \(values.count) values as \(contract.name).",
                    why: "Its manifest says \(contract.shape.map(String.init).joined(separator: " x ")).",
                    next: ModelStore.embed)
            }
            maps.append(
                RawMap(
                    channels: contract.shape[0], rows: contract.shape[1], columns: contract.shape[2], values: values))
        }
        return maps
    }
}

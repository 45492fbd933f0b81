// https://developer.apple.com/documentation/coreml
// Models whose answers a check computes, from packages in the file system. They complain about inputs that they do not take.
@_spi(Checks) import CoreFoundation
import CoreGraphics
@_spi(Checks) import CoreVideo
import Foundation

/// A model as a check defines it.
@_spi(Checks) public struct ModelDefinition: Sendable {
    /// The name of the input, and those of the outputs.
    public let input: String
    public let outputs: [String]
    /// The size of an image input; nil for an array.
    public let image: (height: Int, width: Int)?
    /// The shape of an array input.
    public let shape: [Int]
    /// Computes the outputs from an image's red, green and blue in rows, or from an array.
    public let answers: @Sendable ([Float]) -> [[Float]]

    public init(
        input: String, output: String, image: (height: Int, width: Int)? = nil, shape: [Int] = [],
        answer: @escaping @Sendable ([Float]) -> [Float]
    ) {
        self.init(input: input, outputs: [output], image: image, shape: shape) { [answer($0)] }
    }

    public init(
        input: String, outputs: [String], image: (height: Int, width: Int)? = nil, shape: [Int] = [],
        answers: @escaping @Sendable ([Float]) -> [[Float]]
    ) {
        (self.input, self.outputs, self.image, self.shape) = (input, outputs, image, shape)
        self.answers = answers
    }

    private static let lock = NSLock()
    private static var value: ModelDefinition?
    private static var compilationCount = 0
    private static var loadedUnits: [MLComputeUnits] = []
    /// The model of every package.
    public static var current: ModelDefinition? {
        get { lock.withLock { value } }
        set { lock.withLock { (value, compilationCount, loadedUnits) = (newValue, 0, []) } }
    }
    /// How often a package was compiled, and the compute units of each load.
    public static var compilations: Int { lock.withLock { compilationCount } }
    public static var units: [MLComputeUnits] { lock.withLock { loadedUnits } }
    fileprivate static func noteCompilation() { lock.withLock { compilationCount += 1 } }
    fileprivate static func note(_ units: MLComputeUnits) { lock.withLock { loadedUnits.append(units) } }
}

/// An error of Core ML.
@_spi(Checks) public struct ModelError: Error {}

// https://developer.apple.com/documentation/coreml/mlmodel
// Not Sendable, as in the SDK: Core ML's asynchronous predictions may overlap, but the type does not say so.
open class MLModel: NSObject {
    open private(set) var configuration: MLModelConfiguration
    private let definition: ModelDefinition

    public convenience init(contentsOf url: URL, configuration: MLModelConfiguration) throws {
        complain("A model was loaded while the caller waits.")
        try self.init(compiled: url, configuration)
    }
    private init(compiled url: URL, _ configuration: MLModelConfiguration) throws {
        guard let definition = ModelDefinition.current,
            FileManager.default.fileExists(atPath: url.appending(path: "compiled").path)
        else { throw ModelError() }
        ModelDefinition.note(configuration.computeUnits)
        (self.configuration, self.definition) = (configuration, definition)
    }
    open class func load(
        contentsOf url: URL, configuration: MLModelConfiguration = MLModelConfiguration()
    ) async throws -> MLModel {
        await Task.yield()
        return try MLModel(compiled: url, configuration)
    }
    open class func compileModel(at modelURL: URL) async throws -> URL {
        guard FileManager.default.fileExists(atPath: modelURL.path) else { throw ModelError() }
        ModelDefinition.noteCompilation()
        await Task.yield()
        let place = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).mlmodelc")
        try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
        try Data().write(to: place.appending(path: "compiled"))
        return place
    }
    open class var availableComputeDevices: [MLComputeDevice] { MLComputeDevice.allComputeDevices }
    open var modelDescription: MLModelDescription { MLModelDescription(definition) }
    open func prediction(from input: any MLFeatureProvider) throws -> any MLFeatureProvider {
        complain("A prediction was made while the caller waits.")
        return try answer(input)
    }
    open func prediction(
        from input: any MLFeatureProvider, options: MLPredictionOptions
    ) throws -> any MLFeatureProvider {
        complain("A prediction was made while the caller waits.")
        return try answer(input)
    }
    open func prediction(
        from input: any MLFeatureProvider, options: MLPredictionOptions = MLPredictionOptions()
    ) async throws -> any MLFeatureProvider {
        try answer(input)
    }

    private func answer(_ input: any MLFeatureProvider) throws -> any MLFeatureProvider {
        if input.featureNames != [definition.input] { complain("A model gets the inputs \(input.featureNames).") }
        guard let value = input.featureValue(for: definition.input) else { throw ModelError() }
        let results = definition.answers(try values(of: value)).map { result in
            MLFeatureValue(shapedArray: MLShapedArray<Float>(scalars: result, shape: [1, result.count]))
        }
        return try MLDictionaryFeatureProvider(
            dictionary: Dictionary(uniqueKeysWithValues: zip(definition.outputs, results)))
    }

    private func values(of value: MLFeatureValue) throws -> [Float] {
        if let size = definition.image {
            guard let buffer = value.imageBufferValue else {
                complain("A model of images gets an array.")
                throw ModelError()
            }
            if buffer.isLocked { complain("Core ML gets a pixel buffer that is locked.") }
            if (buffer.height, buffer.width) != size {
                complain("Core ML gets \(buffer.height) x \(buffer.width) pixels, not \(size.height) x \(size.width).")
            }
            guard buffer.format == kCVPixelFormatType_32BGRA else {
                complain("Core ML gets a pixel buffer of the format \(buffer.format).")
                throw ModelError()
            }
            let bytes = buffer[0]
            return stride(from: 0, to: bytes.count, by: 4).flatMap { place in
                [Float(bytes[place + 2]), Float(bytes[place + 1]), Float(bytes[place])]
            }
        }
        guard let array = value.shapedArrayValue(of: Float.self) else {
            complain("A model of arrays gets an image.")
            throw ModelError()
        }
        if array.shape != definition.shape { complain("Core ML gets an array of the shape \(array.shape).") }
        return array.scalars
    }
}

// https://developer.apple.com/documentation/coreml/mlmodelconfiguration
open class MLModelConfiguration: NSObject, NSCopying {
    open var modelDisplayName: String?
    open var computeUnits = MLComputeUnits.all
    open var allowLowPrecisionAccumulationOnGPU = false

    public override init() {}
    open func copy(with zone: NSZone? = nil) -> Any {
        let copy = MLModelConfiguration()
        (copy.modelDisplayName, copy.computeUnits) = (modelDisplayName, computeUnits)
        return copy
    }
}

// https://developer.apple.com/documentation/coreml/mlcomputeunits
public enum MLComputeUnits: Int, @unchecked Sendable {
    case cpuOnly = 0
    case cpuAndGPU = 1
    case all = 2
    case cpuAndNeuralEngine = 3
}

// https://developer.apple.com/documentation/coreml/mlpredictionoptions
open class MLPredictionOptions: NSObject {
    open var outputBackings: [String: Any] = [:]
    public override init() {}
}

// https://developer.apple.com/documentation/coreml/mlmodeldescription
open class MLModelDescription: NSObject {
    open private(set) var inputDescriptionsByName: [String: MLFeatureDescription]
    open private(set) var outputDescriptionsByName: [String: MLFeatureDescription]
    open var predictedFeatureName: String? { nil }
    open var predictedProbabilitiesName: String? { nil }
    open var metadata: [MLModelMetadataKey: Any] { [:] }

    fileprivate init(_ definition: ModelDefinition) {
        let isImage = definition.image != nil
        inputDescriptionsByName = [
            definition.input: MLFeatureDescription(definition.input, isImage ? .image : .multiArray)
        ]
        outputDescriptionsByName = Dictionary(
            uniqueKeysWithValues: definition.outputs.map { ($0, MLFeatureDescription($0, .multiArray)) })
    }
}

// https://developer.apple.com/documentation/coreml/mlmodelmetadatakey
public struct MLModelMetadataKey: Hashable, RawRepresentable, @unchecked Sendable {
    public let rawValue: String
    public init(rawValue: String) {
        self.rawValue = rawValue
    }
    public static let author = MLModelMetadataKey(rawValue: "author")
    public static let creatorDefinedKey = MLModelMetadataKey(rawValue: "creatorDefined")
    public static let description = MLModelMetadataKey(rawValue: "description")
    public static let license = MLModelMetadataKey(rawValue: "license")
    public static let versionString = MLModelMetadataKey(rawValue: "versionString")
}

// https://developer.apple.com/documentation/coreml/mlfeaturedescription
open class MLFeatureDescription: NSObject {
    open private(set) var name: String
    open private(set) var type: MLFeatureType
    open var isOptional: Bool { false }
    open var imageConstraint: MLImageConstraint? { nil }

    fileprivate init(_ name: String, _ type: MLFeatureType) {
        (self.name, self.type) = (name, type)
    }
}

// https://developer.apple.com/documentation/coreml/mlimageconstraint
open class MLImageConstraint: NSObject {
    open var pixelsHigh: Int { 0 }
    open var pixelsWide: Int { 0 }
    open var pixelFormatType: OSType { kCVPixelFormatType_32BGRA }
}

// https://developer.apple.com/documentation/coreml/mlfeaturetype
public enum MLFeatureType: Int, @unchecked Sendable {
    case invalid = 0
    case int64 = 1
    case double = 2
    case string = 3
    case image = 4
    case multiArray = 5
    case dictionary = 6
    case sequence = 7
}

// https://developer.apple.com/documentation/coreml/mlfeatureprovider
public protocol MLFeatureProvider {
    var featureNames: Set<String> { get }
    func featureValue(for featureName: String) -> MLFeatureValue?
}

// https://developer.apple.com/documentation/coreml/mldictionaryfeatureprovider
open class MLDictionaryFeatureProvider: NSObject, MLFeatureProvider {
    open private(set) var dictionary: [String: MLFeatureValue]

    public init(dictionary: [String: Any]) throws {
        self.dictionary = try dictionary.mapValues { value in
            guard let value = value as? MLFeatureValue else { throw ModelError() }
            return value
        }
    }
    open subscript(featureName: String) -> MLFeatureValue? { dictionary[featureName] }
    open var featureNames: Set<String> { Set(dictionary.keys) }
    open func featureValue(for featureName: String) -> MLFeatureValue? { dictionary[featureName] }
}

// https://developer.apple.com/documentation/coreml/mlfeaturevalue
open class MLFeatureValue: NSObject, NSCopying {
    private let value: Any

    private init(any value: Any) {
        self.value = value
    }
    public convenience init(int64 value: Int64) { self.init(any: value) }
    public convenience init(double value: Double) { self.init(any: value) }
    public convenience init(string value: String) { self.init(any: value) }
    public convenience init(multiArray value: MLMultiArray) { self.init(any: value) }
    public convenience init(pixelBuffer value: CVPixelBuffer) { self.init(any: value) }
    public convenience init(dictionary value: [AnyHashable: NSNumber]) throws { self.init(any: value) }
    public convenience init<Scalar>(shapedArray: MLShapedArray<Scalar>) where Scalar: MLShapedArrayScalar {
        self.init(any: shapedArray)
    }
    open var type: MLFeatureType { value is CVPixelBuffer ? .image : .multiArray }
    open var isUndefined: Bool { false }
    open var int64Value: Int64 { value as? Int64 ?? 0 }
    open var doubleValue: Double { value as? Double ?? 0 }
    open var stringValue: String { value as? String ?? "" }
    open var multiArrayValue: MLMultiArray? { value as? MLMultiArray }
    open var dictionaryValue: [AnyHashable: NSNumber] { value as? [AnyHashable: NSNumber] ?? [:] }
    open var imageBufferValue: CVPixelBuffer? { value as? CVPixelBuffer }
    public func shapedArrayValue<Scalar>(of type: Scalar.Type) -> MLShapedArray<Scalar>?
    where Scalar: MLShapedArrayScalar {
        value as? MLShapedArray<Scalar>
    }
    open func copy(with zone: NSZone? = nil) -> Any { self }
}

// https://developer.apple.com/documentation/coreml/mlmultiarray
open class MLMultiArray: NSObject {
    open private(set) var dataType: MLMultiArrayDataType
    open private(set) var shape: [NSNumber]
    open var strides: [NSNumber] {
        shape.indices.map { index in NSNumber(value: shape[(index + 1)...].reduce(1) { $0 * $1.intValue }) }
    }
    open private(set) var count: Int
    private var numbers: [NSNumber]

    public init(shape: [NSNumber], dataType: MLMultiArrayDataType) throws {
        (self.shape, self.dataType) = (shape, dataType)
        count = shape.reduce(1) { $0 * $1.intValue }
        numbers = [NSNumber](repeating: 0, count: count)
    }
    open subscript(idx: Int) -> NSNumber {
        get { numbers[idx] }
        set { numbers[idx] = newValue }
    }
    open subscript(key: [NSNumber]) -> NSNumber {
        get { numbers[place(key)] }
        set { numbers[place(key)] = newValue }
    }
    private func place(_ key: [NSNumber]) -> Int { zip(key, strides).reduce(0) { $0 + $1.0.intValue * $1.1.intValue } }
}

// https://developer.apple.com/documentation/coreml/mlmultiarraydatatype
public enum MLMultiArrayDataType: Int, @unchecked Sendable {
    case double = 65600
    case float32 = 65568
    case float16 = 65552
    case int32 = 131104
    public static var float64: MLMultiArrayDataType { .double }
    public static var float: MLMultiArrayDataType { .float32 }
}

// https://developer.apple.com/documentation/coreml/mlshapedarrayscalar
public protocol MLShapedArrayScalar {
    static var multiArrayDataType: MLMultiArrayDataType { get }
}
extension Double: MLShapedArrayScalar {
    public static var multiArrayDataType: MLMultiArrayDataType { .double }
}
extension Float: MLShapedArrayScalar {
    public static var multiArrayDataType: MLMultiArrayDataType { .float32 }
}
extension Int32: MLShapedArrayScalar {
    public static var multiArrayDataType: MLMultiArrayDataType { .int32 }
}

// https://developer.apple.com/documentation/coreml/mlshapedarray, and mlshapedarrayprotocol/init(scalars:shape:)
public struct MLShapedArray<Scalar> where Scalar: MLShapedArrayScalar {
    public let shape: [Int]
    public var scalars: [Scalar]
    public var scalarCount: Int { scalars.count }

    public init<S>(scalars: S, shape: [Int]) where Scalar == S.Element, S: Sequence {
        (self.scalars, self.shape) = (Array(scalars), shape)
        precondition(self.scalars.count == shape.reduce(1, *), "The scalars do not fit the shape.")
    }
    public init(repeating repeatedValue: Scalar, shape: [Int]) {
        self.init(scalars: [Scalar](repeating: repeatedValue, count: shape.reduce(1, *)), shape: shape)
    }
}

// https://developer.apple.com/documentation/coreml/mlcomputedevice
public enum MLComputeDevice: Hashable, Sendable {
    case cpu(MLCPUComputeDevice)
    case gpu(MLGPUComputeDevice)
    case neuralEngine(MLNeuralEngineComputeDevice)
    public static var allComputeDevices: [MLComputeDevice] { [.cpu(MLCPUComputeDevice())] }
}
open class MLCPUComputeDevice: NSObject, @unchecked Sendable {}
open class MLGPUComputeDevice: NSObject, @unchecked Sendable {}
open class MLNeuralEngineComputeDevice: NSObject, @unchecked Sendable {
    open var totalCoreCount: Int { 16 }
}

// https://developer.apple.com/documentation/coreml/mlcomputeplan-1w21n, iOS 17.4
@available(iOS 17.4, macOS 14.4, *)
public class MLComputePlan {
    public static func load(
        contentsOf url: URL, configuration: MLModelConfiguration
    ) async throws -> MLComputePlan {
        throw ModelError()
    }
    public var modelStructure: MLModelStructure { .unsupported }
    public func deviceUsage(for operation: MLModelStructure.Program.Operation) -> MLComputePlan.DeviceUsage? { nil }
    public func estimatedCost(of operation: MLModelStructure.Program.Operation) -> MLComputePlan.Cost? { nil }
    public struct DeviceUsage {
        public let preferred: MLComputeDevice
        public let supported: [MLComputeDevice]
    }
    public struct Cost {
        public let weight: Double
    }
}

// https://developer.apple.com/documentation/coreml/mlmodelstructure-swift.enum, iOS 17.4
@available(iOS 17.4, macOS 14.4, *)
public enum MLModelStructure {
    case neuralNetwork(MLModelStructure.NeuralNetwork)
    case program(MLModelStructure.Program)
    case pipeline(MLModelStructure.Pipeline)
    case unsupported
    public struct NeuralNetwork {}
    public struct Pipeline {}
    public struct Program {
        public let functions: [String: MLModelStructure.Program.Function]
        public struct Function {
            public let inputs: [MLModelStructure.Program.NamedValueType]
            public let block: MLModelStructure.Program.Block
        }
        public struct Block {
            public let inputs: [MLModelStructure.Program.NamedValueType]
            public let outputNames: [String]
            public let operations: [MLModelStructure.Program.Operation]
        }
        public struct Operation {
            public let operatorName: String
            public let outputs: [MLModelStructure.Program.NamedValueType]
            public let blocks: [MLModelStructure.Program.Block]
        }
        public struct NamedValueType {
            public let name: String
        }
    }
}

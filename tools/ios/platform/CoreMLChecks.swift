@_spi(Checks) import CoreML
@_spi(Checks) import CoreVideo
import Foundation

@testable import SHViTKit
@testable import SHViTKitCoreML

@MainActor let coreMLChecks: [Check] = [
    (
        "an image for Core ML: rows, colors, lock, and memory that is used again",
        {
            let before = CVPixelBuffer.alive
            let pool = try PixelBufferPool(height: scene.height, width: scene.width)
            for picture in [scene, RGBImage(scene.height, scene.width, scene.bytes.reversed())] {
                let buffer = try pool.buffer(of: picture)
                expect(buffer[0] == blueFirst(picture, fourth: 255), "A pixel buffer for Core ML has other pixels.")
                expect(!buffer.isLocked, "A pixel buffer for Core ML stays locked.")
            }
            expect(CVPixelBuffer.alive == before, "Pixel buffers for Core ML are kept.")
        }
    ),
    (
        "models of images and of arrays, in both orders of colors",
        {
            for order in [Preprocessing.ChannelOrder.rgb, .bgr] {
                try await checkImages(order)
                try await checkArrays(order)
            }
        }
    ),
    (
        "a package is compiled once, and loaded for the chosen processors",
        {
            let model = try appleModel(kind: .image, order: .rgb)
            ModelDefinition.current = definition(of: model.manifest)
            for compute in DeviceReport.Compute.allCases {
                async let one = CoreMLSource(model, compute: compute).load()
                async let other = CoreMLSource(model, compute: compute).load()
                _ = try await (one, other)
            }
            expect(ModelDefinition.compilations == 1, "A package is compiled \(ModelDefinition.compilations) times.")
            var expected: [MLComputeUnits] = []
            for compute in DeviceReport.Compute.allCases {
                let units: MLComputeUnits =
                    switch compute {
                    case .cpu: .cpuOnly
                    case .cpuAndGPU: .cpuAndGPU
                    case .cpuAndNeuralEngine: .cpuAndNeuralEngine
                    case .all: .all
                    }
                expected += [units, units]
            }
            expect(ModelDefinition.units == expected, "Models are loaded for other processors.")
        }
    ),
    (
        "the maps of a detector, by their names",
        {
            var model = try appleModel(kind: .image, order: .rgb)
            let maps = ["scores16", "boxes16", "boxes32"].enumerated().map { place, name in
                Manifest.OutputMap(name: name, shape: [1, 1, place + 1], stride: 64)
            }
            let file = model.folder.appending(path: "\(model.id).manifest.json")
            var manifest = try Document<Manifest>(contentsOf: file)
            (manifest.content.task, manifest.content.output.logits) = (.features, nil)
            (manifest.content.output.maps, manifest.content.labels) = (maps, [])
            try manifest.write(to: file)
            model = try EmbeddedModel(folder: model.folder)
            let size = model.manifest.preprocessing.size
            // Core ML's own order is another one.
            ModelDefinition.current = ModelDefinition(
                input: model.manifest.input.name, outputs: ["boxes32", "scores16", "boxes16"], image: (size[0], size[1])
            ) { _ in [[3, 4, 5], [1], [2, 7]] }
            let outputs = try await CoreMLSource(model).load().outputs(for: pattern(height: size[0], width: size[1]))
            expect(
                outputs == ["scores16": [1], "boxes16": [2, 7], "boxes32": [3, 4, 5]],
                "Maps have other names: \(outputs).")
            ModelDefinition.current = ModelDefinition(
                input: model.manifest.input.name, outputs: ["scores16", "boxes16"], image: (size[0], size[1])
            ) { _ in [[1], [2, 7]] }
            let loaded = try? await CoreMLSource(model).load()
            expect(loaded == nil, "A model without one of its maps is loaded.")
        }
    ),
    (
        "a model that the manifest does not describe, and a package that is missing",
        {
            let model = try appleModel(kind: .image, order: .rgb)
            for (input, output) in [("other", model.manifest.output.names[0]), (model.manifest.input.name, "other")] {
                ModelDefinition.current = ModelDefinition(input: input, output: output, image: (64, 64)) { $0 }
                let loaded = try? await CoreMLSource(model).load()
                expect(loaded == nil, "A model with the input \(input) and the output \(output) is loaded.")
            }
            try FileManager.default.removeItem(at: model.artifact)
            ModelDefinition.current = nil
            let loaded = try? await CoreMLSource(model).load()
            expect(loaded == nil, "A package that is missing is loaded.")
        }
    ),
]

/// Returns a new embedded model for Core ML, with a fake package of its own.
func appleModel(kind: Manifest.Input.Kind, order: Preprocessing.ChannelOrder) throws -> EmbeddedModel {
    let (name, files) = ("apple-\(UUID().uuidString)", FileManager.default)
    let folder = files.temporaryDirectory.appending(path: name)
    let package = folder.appending(path: "\(name).mlpackage")
    try files.createDirectory(at: package, withIntermediateDirectories: true)
    try Data(name.utf8).write(to: package.appending(path: "weights"))
    let fixtures = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../../schemas/fixtures")
    var manifest = try Document<Manifest>(
        contentsOf: fixtures.appending(path: "goldens/shvit_s1-64-executorch-fp32.manifest.json"))
    (manifest.content.target, manifest.content.delegation, manifest.content.goldens) = (.coreml, nil, nil)
    manifest.content.artifact.name = package.lastPathComponent
    manifest.content.artifact.sha256 = try Fingerprint.sha256(of: package)
    manifest.content.input.kind = kind
    manifest.content.preprocessing.channelOrder = order
    try manifest.write(to: folder.appending(path: "\(name).manifest.json"))
    return try EmbeddedModel(folder: folder)
}

/// Returns the model that a manifest describes, whose answers are its inputs.
func definition(of manifest: Manifest) -> ModelDefinition {
    let size = manifest.preprocessing.size
    return ModelDefinition(
        input: manifest.input.name, output: manifest.output.names[0],
        image: manifest.input.kind == .image ? (size[0], size[1]) : nil, shape: manifest.input.shape.map { max($0, 1) }
    ) { $0 }
}

/// Complains unless Core ML gets the picture's red, green and blue, whatever the model's order is.
@MainActor
func checkImages(_ order: Preprocessing.ChannelOrder) async throws {
    let model = try appleModel(kind: .image, order: order)
    ModelDefinition.current = definition(of: model.manifest)
    let picture = pattern(height: model.manifest.preprocessing.size[0], width: model.manifest.preprocessing.size[1])
    let seen = order == .rgb ? picture : picture.channelsReversed
    let answer = try await CoreMLSource(model).load().outputs(for: seen)["logits"]
    expect(answer == picture.bytes.map(Float.init), "Core ML gets other colors from a model of \(order).")
}

/// Complains unless Core ML gets the values that the preprocessor makes.
@MainActor
func checkArrays(_ order: Preprocessing.ChannelOrder) async throws {
    let model = try appleModel(kind: .tensor, order: order)
    ModelDefinition.current = definition(of: model.manifest)
    let size = model.manifest.preprocessing.size
    let picture = pattern(height: size[0], width: size[1])
    let answer = try await CoreMLSource(model).load().outputs(for: picture)["logits"]
    let expected = try Preprocessor(model.manifest.preprocessing).tensor(of: picture, for: model.manifest.input)
    expect(answer == expected, "Core ML gets other values from a model of \(order).")
}

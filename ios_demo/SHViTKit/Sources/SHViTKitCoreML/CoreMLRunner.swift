#if canImport(CoreML)
    import CoreML
    import SHViTKit

    /// A Core ML package, compiled and loaded for certain processors.
    ///
    /// `@unchecked`, since `MLModel` is not declared `Sendable`; its asynchronous predictions may overlap.
    public final class CoreMLRunner: Runner, @unchecked Sendable {
        private let model: MLModel
        private let manifest: Manifest
        private let preprocessor: Preprocessor
        private let buffers: PixelBufferPool

        /// Wraps a loaded model.
        ///
        /// - Throws: `SHViTError` if the model is not the one that the manifest describes.
        init(_ model: MLModel, manifest: Manifest) throws(SHViTError) {
            let description = model.modelDescription
            guard description.inputDescriptionsByName[manifest.input.name] != nil,
                manifest.output.names.allSatisfy({ description.outputDescriptionsByName[$0] != nil })
            else {
                let outputs = manifest.output.names.joined(separator: ", ")
                throw SHViTError.artifactChanged(
                    "\(manifest.artifact.name) lacks the input \(manifest.input.name) or an output of \(outputs).",
                    why: "The manifest belongs to another artifact.", next: ModelStore.embed)
            }
            self.model = model
            self.manifest = manifest
            preprocessor = try Preprocessor(manifest.preprocessing)
            let size = manifest.preprocessing.size
            buffers = try PixelBufferPool(height: size[0], width: size[1])
        }

        /// Returns the outputs for a picture, and how long each stage took.
        public func timedOutputs(for pixels: RGBImage, stopwatch: Stopwatch) async throws -> TimedOutputs {
            let begun = stopwatch.now()
            let content = content(of: pixels)
            let prepared = stopwatch.now()
            let input = try MLDictionaryFeatureProvider(dictionary: [manifest.input.name: feature(of: content)])
            let ready = stopwatch.now()
            // Passing options selects the asynchronous overload.
            let answer = try await model.prediction(from: input, options: MLPredictionOptions())
            let answered = stopwatch.now()
            var outputs: [String: [Float]] = [:]
            for name in manifest.output.names {
                guard let values = answer.featureValue(for: name)?.shapedArrayValue(of: Float.self) else {
                    throw SHViTError.runtimeFailure(
                        "The model's output \(name) is not of type float.", next: "Export the model again.")
                }
                outputs[name] = values.scalars
            }
            return TimedOutputs(
                outputs: outputs,
                times: StageTimes(
                    preprocessing: prepared - begun, tensor: ready - prepared, inference: answered - ready,
                    decoding: stopwatch.now() - answered))
        }

        /// The input before it becomes Core ML's own.
        private enum Content {
            case picture(RGBImage)
            case values([Float])
        }

        private func content(of pixels: RGBImage) -> Content {
            switch manifest.input.kind {
            // Core ML expects RGB and converts to the model's channel order itself.
            case .image: .picture(manifest.preprocessing.channelOrder == .rgb ? pixels : pixels.channelsReversed)
            case .tensor: .values(preprocessor.tensor(of: pixels, for: manifest.input))
            }
        }

        private func feature(of content: Content) throws(SHViTError) -> MLFeatureValue {
            switch content {
            case .picture(let picture):
                return MLFeatureValue(pixelBuffer: try buffers.buffer(of: picture))
            case .values(let values):
                // A batch of 0 in the manifest means dynamic: run one picture.
                let shape = manifest.input.shape.map { max($0, 1) }
                return MLFeatureValue(shapedArray: MLShapedArray(scalars: values, shape: shape))
            }
        }
    }
#endif

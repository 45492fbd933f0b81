#if canImport(CoreML)
    import CoreML

    /// A Core ML package, compiled and loaded for the processors that it may use.
    ///
    /// Unchecked, as `MLModel` does not declare what Core ML does: its asynchronous predictions may overlap.
    public final class CoreMLClassifier: Classifier, @unchecked Sendable {
        private let model: MLModel
        private let manifest: Manifest
        private let preprocessor: Preprocessor

        /// A model that is loaded.
        ///
        /// - Throws: `SHViTError` where the model is not the one that the manifest describes.
        init(_ model: MLModel, manifest: Manifest) throws(SHViTError) {
            let description = model.modelDescription
            guard description.inputDescriptionsByName[manifest.input.name] != nil,
                description.outputDescriptionsByName[manifest.output.logits] != nil
            else {
                throw SHViTError(
                    "\(manifest.artifact.name) has no \(manifest.input.name) or no \(manifest.output.logits).",
                    why: "Its manifest is of another artifact.", next: ModelStore.embed)
            }
            self.model = model
            self.manifest = manifest
            preprocessor = try Preprocessor(manifest.preprocessing)
        }

        /// The logits for one picture.
        public func logits(for pixels: RGBImage) async throws -> [Float] {
            let input = try MLDictionaryFeatureProvider(dictionary: [manifest.input.name: feature(of: pixels)])
            // With its options, the call is the asynchronous one.
            let answer = try await model.prediction(from: input, options: MLPredictionOptions())
            guard let logits = answer.featureValue(for: manifest.output.logits)?.shapedArrayValue(of: Float.self) else {
                throw SHViTError("The model's logits are not floats.", next: "Export the model again.")
            }
            return logits.scalars
        }

        private func feature(of pixels: RGBImage) throws(SHViTError) -> MLFeatureValue {
            switch manifest.input.kind {
            case .image:
                // Core ML takes red, green, blue, and itself changes the order to the model's.
                let picture = manifest.preprocessing.channelOrder == .rgb ? pixels : pixels.channelsReversed
                return MLFeatureValue(pixelBuffer: try picture.pixelBuffer())
            case .tensor:
                let values = preprocessor.tensor(of: pixels, for: manifest.input)
                // One picture, where the manifest's 0 leaves the batch open.
                let shape = manifest.input.shape.map { max($0, 1) }
                return MLFeatureValue(shapedArray: MLShapedArray(scalars: values, shape: shape))
            }
        }
    }
#endif

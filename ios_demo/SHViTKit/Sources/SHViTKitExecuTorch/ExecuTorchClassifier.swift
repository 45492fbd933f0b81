#if canImport(ExecuTorch)
    import ExecuTorch
    import SHViTKit

    /// A `.pte` program on ExecuTorch's XNNPACK backend: the processor alone, on as many threads as ExecuTorch decides,
    /// since its interface for Swift has no choice of them.
    ///
    /// An app that links it statically has to keep the backend's symbols: `-all_load` in Other Linker Flags.
    public actor ExecuTorchClassifier: Classifier {
        private let module: Module
        private let preprocessor: Preprocessor
        private let input: Manifest.Input

        /// Loads the program of an embedded model.
        ///
        /// - Throws: `SHViTError` where the model is for another runtime; ExecuTorch's own errors.
        public init(_ model: EmbeddedModel) throws {
            let manifest = model.manifest
            guard manifest.target == .executorch else {
                throw SHViTError(
                    "\(manifest.artifact.name) is not for ExecuTorch.", why: "It is for \(manifest.target.rawValue).",
                    next: "Load it with that runtime.")
            }
            preprocessor = try Preprocessor(manifest.preprocessing)
            input = manifest.input
            module = Module(filePath: model.artifact.path)
            try module.load("forward")
        }

        /// The logits for one picture.
        public func logits(for pixels: RGBImage) async throws -> [Float] {
            // One picture, where the manifest's 0 leaves the batch open.
            let shape = input.shape.map { max($0, 1) }
            let tensor = Tensor<Float>(preprocessor.tensor(of: pixels, for: input), shape: shape)
            let outputs = try module.forward(tensor)
            guard let logits: Tensor<Float> = outputs.first?.tensor() else {
                throw SHViTError("The program has no output of floats.", next: "Export the model again.")
            }
            return logits.scalars()
        }
    }

    /// What an `ExecuTorchClassifier` is loaded from.
    public struct ExecuTorchSource: ClassifierSource {
        /// Of the ExecuTorch that `Package.swift` fetches, which does not tell it itself.
        public static let version = "1.4.1"

        private let model: EmbeddedModel

        /// The program of an embedded model.
        public init(_ model: EmbeddedModel) {
            self.model = model
        }

        /// The program, loaded.
        public func load() async throws -> any Classifier {
            try ExecuTorchClassifier(model)
        }
    }
#endif

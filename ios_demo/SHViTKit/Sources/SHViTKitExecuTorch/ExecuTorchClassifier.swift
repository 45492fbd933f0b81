#if canImport(ExecuTorch)
    @preconcurrency import ExecuTorch
    import Foundation
    import SHViTKit

    /// A `.pte` program on ExecuTorch's XNNPACK backend: the processor alone.
    ///
    /// An app that links it statically has to keep the backend's symbols: `-all_load` in Other Linker Flags.
    public actor ExecuTorchClassifier: Classifier {
        private let module: Module
        private let preprocessor: Preprocessor
        private let input: Manifest.Input

        /// Loads the program of an embedded model.
        public init(_ model: EmbeddedModel) throws {
            preprocessor = try Preprocessor(model.manifest.preprocessing)
            input = model.manifest.input
            module = Module(filePath: model.artifact.path)
            try module.load("forward")
        }

        /// The logits for one picture.
        public func logits(for pixels: RGBImage) async throws -> [Float] {
            let tensor = Tensor<Float>(preprocessor.tensor(of: pixels, for: input), shape: input.shape)
            let outputs = try module.forward(tensor)
            guard let logits: Tensor<Float> = outputs.first?.tensor() else {
                throw SHViTError("The program has no output of floats.", next: "Export the model again.")
            }
            return logits.scalars()
        }
    }

    /// What an `ExecuTorchClassifier` is loaded from.
    public struct ExecuTorchSource: ClassifierSource {
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

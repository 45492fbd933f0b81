#if canImport(ExecuTorch)
    import ExecuTorch
    import SHViTKit

    /// A `.pte` program on ExecuTorch's XNNPACK backend, which uses the CPU only. ExecuTorch chooses the number of
    /// threads: its Swift API has no option for it.
    ///
    /// An app that links this statically must keep the backend's symbols: add `-all_load` to Other Linker Flags.
    public actor ExecuTorchClassifier: Classifier {
        private let module: Module
        private let preprocessor: Preprocessor
        private let input: Manifest.Input

        /// Loads the program of an embedded model.
        ///
        /// - Throws: `SHViTError` if the model is for another runtime; ExecuTorch's own errors.
        public init(_ model: EmbeddedModel) throws {
            let manifest = model.manifest
            guard manifest.target == .executorch else {
                throw SHViTError.unsupportedDocument(
                    "\(manifest.artifact.name) is not for ExecuTorch.", why: "It is for \(manifest.target.rawValue).",
                    next: "Load it with the runtime that it is for.")
            }
            preprocessor = try Preprocessor(manifest.preprocessing)
            input = manifest.input
            // Mapped, the program's weights are not copied into memory.
            module = Module(filePath: model.artifact.path, loadMode: .mmap)
            try module.load("forward")
        }

        /// Returns the logits for a picture.
        public func logits(for pixels: RGBImage) async throws -> [Float] {
            // A batch of 0 in the manifest means dynamic: run one picture.
            let shape = input.shape.map { max($0, 1) }
            let tensor = Tensor<Float>(preprocessor.tensor(of: pixels, for: input), shape: shape)
            let outputs = try module.forward(tensor)
            guard let logits: Tensor<Float> = outputs.first?.tensor() else {
                throw SHViTError.runtimeFailure("The program has no float output.", next: "Export the model again.")
            }
            return logits.scalars()
        }
    }

    /// The source of an `ExecuTorchClassifier`.
    public struct ExecuTorchSource: ClassifierSource {
        /// The version of ExecuTorch that `Package.swift` fetches. ExecuTorch itself does not report it.
        public static let version = "1.4.1"

        private let model: EmbeddedModel

        /// Uses an embedded model's program.
        public init(_ model: EmbeddedModel) {
            self.model = model
        }

        /// Loads the program.
        public func load() async throws -> any Classifier {
            try ExecuTorchClassifier(model)
        }
    }
#endif

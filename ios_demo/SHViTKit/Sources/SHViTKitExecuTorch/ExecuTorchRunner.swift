#if canImport(ExecuTorch)
    import ExecuTorch
    import SHViTKit
    import SHViTThreadPool

    /// A `.pte` program on ExecuTorch's XNNPACK backend, which uses the CPU only, or on its Core ML backend.
    ///
    /// An app that links this statically must keep the backend's symbols: add `-all_load` to Other Linker Flags.
    public actor ExecuTorchRunner: Runner {
        private let program: LoadedProgram
        private let preprocessor: Preprocessor
        private let manifest: Manifest

        /// Loads the program of an embedded model.
        ///
        /// - Parameters:
        ///   - model: The model.
        ///   - threads: The number of threads of an inference; 0 lets ExecuTorch choose. All models that are loaded at
        ///     the same time must have the same.
        /// - Throws: `SHViTError` if the model is for another runtime, cannot be loaded, or another one with another
        ///   number of threads is loaded.
        public init(_ model: EmbeddedModel, threads: Int = 0) throws(SHViTError) {
            manifest = model.manifest
            try manifest.check(for: .executorch)
            preprocessor = try Preprocessor(manifest.preprocessing)
            program = try LoadedProgram(model, threads: threads)
        }

        /// Returns the outputs for a picture, and how long each stage took.
        public func timedOutputs(for pixels: RGBImage, stopwatch: Stopwatch) async throws -> TimedOutputs {
            // A batch of 0 in the manifest means dynamic: run one picture.
            let shape = manifest.input.shape.map { max($0, 1) }
            let begun = stopwatch.now()
            let values = preprocessor.tensor(of: pixels, for: manifest.input)
            let prepared = stopwatch.now()
            let tensor = Tensor<Float>(values, shape: shape)
            let ready = stopwatch.now()
            let outputs: [Value]
            do { outputs = try program.module.forward(tensor) } catch {
                throw SHViTError.runtimeFailure("\(manifest.artifact.name) failed: \(error.localizedDescription)")
            }
            let answered = stopwatch.now()
            let names = manifest.output.names
            guard outputs.count == names.count else {
                throw SHViTError.runtimeFailure(
                    "The program has \(outputs.count) outputs, its manifest \(names.count).", next: ModelStore.embed)
            }
            var result: [String: [Float]] = [:]
            for (name, output) in zip(names, outputs) {
                guard let tensor: Tensor<Float> = output.tensor() else {
                    throw SHViTError.runtimeFailure(
                        "The program's output \(name) is not of type float.", next: "Export the model again.")
                }
                result[name] = tensor.scalars()
            }
            return TimedOutputs(
                outputs: result,
                times: StageTimes(
                    preprocessing: prepared - begun, tensor: ready - prepared, inference: answered - ready,
                    decoding: stopwatch.now() - answered))
        }
    }

    /// A program that is loaded, and its place in the thread pool.
    private final class LoadedProgram {
        /// One per app, like ExecuTorch's thread pool.
        private static let pool = SharedPool { SHViTSetThreadCount(UInt32($0)) }

        let module: Module

        init(_ model: EmbeddedModel, threads: Int) throws(SHViTError) {
            // Mapped, the program's weights are not copied into memory.
            module = Module(filePath: model.artifact.path, loadMode: .mmap)
            try Self.pool.enter(threads: threads)
            do { try module.load("forward") } catch {
                Self.pool.leave()
                throw .runtimeFailure(
                    "\(model.manifest.artifact.name) cannot be loaded: \(error.localizedDescription)",
                    why: "The app may lack -all_load in Other Linker Flags, or kernels for operators that the "
                        + "program's backend does not run.",
                    next: "See the README of the iOS app.")
            }
        }

        deinit {
            Self.pool.leave()
        }
    }

    /// The source of an `ExecuTorchRunner`.
    public struct ExecuTorchSource: RunnerSource {
        /// The version of ExecuTorch that `Package.swift` fetches. ExecuTorch itself does not report it.
        public static let version = "1.4.1"

        private let model: EmbeddedModel
        private let threads: Int

        /// Uses an embedded model's program.
        ///
        /// - Parameters:
        ///   - model: The model.
        ///   - threads: The number of threads of an inference; 0 lets ExecuTorch choose.
        public init(_ model: EmbeddedModel, threads: Int = 0) {
            self.model = model
            self.threads = threads
        }

        /// Loads the program.
        public func load() async throws -> any Runner {
            try ExecuTorchRunner(model, threads: threads)
        }
    }
#endif

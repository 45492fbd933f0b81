#if canImport(CoreML)
    import CoreML
    import SHViTKit

    /// The source of a `CoreMLRunner`: a package, and the processors that it may use.
    ///
    /// The package is compiled once per installation and system version. The compiled model is kept in Caches under the
    /// artifact's SHA-256 and serves all compute units.
    public struct CoreMLSource: RunnerSource {
        private let model: EmbeddedModel
        private let compute: DeviceReport.Compute
        private let compiled: CompiledModels

        /// Uses an embedded model's package. Call `verify()` on the model first: compiled models are cached under the
        /// manifest's SHA-256.
        ///
        /// - Throws: `SHViTError` if the model is for another runtime.
        public init(_ model: EmbeddedModel, compute: DeviceReport.Compute = .all) throws(SHViTError) {
            try model.manifest.check(for: .coreml)
            self.model = model
            self.compute = compute
            compiled = .inCaches
        }

        /// Compiles the package unless a compiled model is cached.
        public func compile() async throws -> Bool {
            let package = model.artifact
            return try await Compilations.shared.compile(sha256, into: compiled) {
                try await MLModel.compileModel(at: package)
            }
        }

        /// Loads the compiled model. Compiles the package first if needed.
        public func load() async throws -> any Runner {
            _ = try await compile()
            try Task.checkCancellation()
            let loaded: MLModel
            do {
                loaded = try await MLModel.load(contentsOf: compiled.location(of: sha256), configuration: configuration)
            } catch {
                // The cached model may be damaged: compile again on the next attempt.
                await Compilations.shared.remove(sha256, from: compiled)
                throw SHViTError.runtimeFailure(
                    "Core ML cannot load \(model.manifest.artifact.name): \(error.localizedDescription)",
                    why: "It may have been exported for a newer system.",
                    next: "Try again. If that fails, export it with a lower --deployment-target.")
            }
            return try CoreMLRunner(loaded, manifest: model.manifest)
        }

        /// Returns where Core ML plans to run the operators; nil before iOS 17.4.
        public func placement() async throws -> [String: Int]? {
            guard #available(iOS 17.4, macOS 14.4, *) else { return nil }
            _ = try await compile()
            let plan = try await MLComputePlan.load(
                contentsOf: compiled.location(of: sha256), configuration: configuration)
            return plan.operatorsByProcessor
        }

        private var sha256: String { model.manifest.artifact.sha256 }

        private var configuration: MLModelConfiguration {
            let configuration = MLModelConfiguration()
            configuration.computeUnits = MLComputeUnits(compute)
            return configuration
        }
    }

    extension MLComputeUnits {
        /// Converts a report's compute units.
        init(_ compute: DeviceReport.Compute) {
            self =
                switch compute {
                case .cpu: .cpuOnly
                case .cpuAndGPU: .cpuAndGPU
                case .cpuAndNeuralEngine: .cpuAndNeuralEngine
                case .all: .all
                }
        }
    }
#endif

#if canImport(CoreML)
    import CoreML

    /// What a `CoreMLClassifier` is loaded from: a package, and the processors that it may use.
    ///
    /// The package is compiled once an installation and a version of the system; what comes of it is kept in Caches,
    /// by the artifact's SHA-256, for all processors alike.
    public struct CoreMLSource: ClassifierSource {
        private let model: EmbeddedModel
        private let compute: DeviceReport.Compute
        private let compiled: CompiledModels

        /// The package of an embedded model; `verify()` it before, as what is compiled goes by what the manifest says.
        ///
        /// - Throws: `SHViTError` where the model is for another runtime.
        public init(_ model: EmbeddedModel, compute: DeviceReport.Compute = .all) throws(SHViTError) {
            guard model.manifest.target == .coreml else {
                throw SHViTError(
                    "\(model.manifest.artifact.name) is not for Core ML.",
                    why: "It is for \(model.manifest.target.rawValue).", next: "Load it with that runtime.")
            }
            self.model = model
            self.compute = compute
            compiled = .inCaches
        }

        /// Compiles the package, unless that was done before.
        public func compile() async throws -> Bool {
            if compiled.hold(sha256) { return false }
            try compiled.keep(try await MLModel.compileModel(at: model.artifact), for: sha256)
            return true
        }

        /// Loads what was compiled, which is compiled now if it has not been.
        public func load() async throws -> any Classifier {
            _ = try await compile()
            let loaded: MLModel
            do {
                loaded = try await MLModel.load(contentsOf: compiled.place(of: sha256), configuration: configuration)
            } catch {
                // What is kept may be damaged: the next attempt compiles anew.
                compiled.forget(sha256)
                throw SHViTError(
                    "Core ML cannot load \(model.manifest.artifact.name): \(error.localizedDescription)",
                    why: "It may have been exported for a newer system than this one.",
                    next: "Try once more; then export it again with another --deployment-target.")
            }
            return try CoreMLClassifier(loaded, manifest: model.manifest)
        }

        /// Where Core ML means to run the operators; nil before iOS 17.4.
        public func placement() async throws -> [String: Int]? {
            guard #available(iOS 17.4, macOS 14.4, *) else { return nil }
            _ = try await compile()
            let plan = try await MLComputePlan.load(
                contentsOf: compiled.place(of: sha256), configuration: configuration)
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
        /// The processors that a report names.
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

#if canImport(ExecuTorch)
    import SHViTKit
    import SHViTKitCoreML

    extension ModelRuntime {
        /// ExecuTorch, which chooses the number of threads.
        public static var executorch: ModelRuntime { executorch(threads: 0) }

        /// ExecuTorch with a number of threads; 0 lets it choose.
        public static func executorch(threads: Int) -> ModelRuntime {
            ModelRuntime(.executorch) { ExecuTorchSource($0, threads: threads) }
        }
    }

    extension ImageClassifier {
        /// Loads a model from the app's folder `Models`, with Core ML or ExecuTorch, whichever its artifact is for.
        ///
        /// - Parameter name: The folder's name, which is the artifact's name without suffix.
        /// - Throws: As `init(named:in:runtimes:)`.
        public convenience init(named name: String) async throws(SHViTError) {
            try await self.init(named: name, runtimes: [.coreML, .executorch])
        }
    }

    extension ImageDetector {
        /// Loads a detector from the app's folder `Models`, with Core ML or ExecuTorch, whichever its artifact is for.
        ///
        /// - Parameter name: The folder's name, which is the artifact's name without suffix.
        /// - Throws: As `init(named:in:runtimes:)`.
        public convenience init(named name: String) async throws(SHViTError) {
            try await self.init(named: name, runtimes: [.coreML, .executorch])
        }
    }
#endif

#if canImport(CoreML)
    import SHViTKit

    extension ModelRuntime {
        /// Core ML on all processors.
        public static var coreML: ModelRuntime { coreML(compute: .all) }

        /// Core ML on certain processors.
        public static func coreML(compute: DeviceReport.Compute) -> ModelRuntime {
            ModelRuntime(.coreml) { model throws(SHViTError) in try CoreMLSource(model, compute: compute) }
        }
    }

    extension ImageClassifier {
        /// Loads a Core ML model from the app's folder `Models`.
        ///
        /// If you also import `SHViTKitExecuTorch`, its initializer of the same name is used, which runs both kinds.
        ///
        /// - Parameter name: The folder's name, which is the artifact's name without suffix.
        /// - Throws: As `init(named:in:runtimes:)`.
        @_disfavoredOverload
        public convenience init(named name: String) async throws(SHViTError) {
            try await self.init(named: name, runtimes: [.coreML])
        }
    }

    extension ImageDetector {
        /// Loads a Core ML detector from the app's folder `Models`; otherwise like `ImageClassifier.init(named:)`.
        ///
        /// - Parameter name: The folder's name, which is the artifact's name without suffix.
        /// - Throws: As `init(named:in:runtimes:)`.
        @_disfavoredOverload
        public convenience init(named name: String) async throws(SHViTError) {
            try await self.init(named: name, runtimes: [.coreML])
        }
    }
#endif

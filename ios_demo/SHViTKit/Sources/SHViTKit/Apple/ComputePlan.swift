#if canImport(CoreML)
    import CoreML

    @available(iOS 17.4, macOS 14.4, *)
    extension MLComputePlan {
        /// How many operators each processor is meant to run, by the names that reports have for them.
        ///
        /// Constants, which no processor runs, do not count. Nil where the model is not an ML Program.
        var operatorsByProcessor: [String: Int]? {
            guard case .program(let program) = modelStructure, let main = program.functions["main"] else { return nil }
            var counts: [String: Int] = [:]
            for operation in main.block.allOperations {
                if let processor = deviceUsage(for: operation)?.preferred.reportName {
                    counts[processor, default: 0] += 1
                }
            }
            return counts
        }
    }

    @available(iOS 17.4, macOS 14.4, *)
    extension MLModelStructure.Program.Block {
        /// Its own, and those of the blocks inside them.
        var allOperations: [MLModelStructure.Program.Operation] {
            operations.flatMap { [$0] + $0.blocks.flatMap(\.allOperations) }
        }
    }

    extension MLComputeDevice {
        /// As `shvit-mobile` knows it.
        var reportName: String {
            switch self {
            case .cpu: "cpu"
            case .gpu: "gpu"
            case .neuralEngine: "neural-engine"
            @unknown default: "other"
            }
        }
    }
#endif

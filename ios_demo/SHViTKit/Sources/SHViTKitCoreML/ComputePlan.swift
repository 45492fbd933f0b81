#if canImport(CoreML)
    import CoreML

    @available(iOS 17.4, macOS 14.4, *)
    extension MLComputePlan {
        /// The number of operators that each processor is planned to run, by the processors' names in reports.
        ///
        /// Constants do not count, since no processor runs them. Nil if the model is not an ML Program.
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
        /// The block's operations, including those of nested blocks.
        var allOperations: [MLModelStructure.Program.Operation] {
            operations.flatMap { [$0] + $0.blocks.flatMap(\.allOperations) }
        }
    }

    extension MLComputeDevice {
        /// The processor's name in a device report.
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

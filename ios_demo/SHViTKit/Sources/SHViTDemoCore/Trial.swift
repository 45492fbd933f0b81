import SHViTKit

/// A model on certain processors: one row of a benchmark.
public struct Trial: Identifiable, Sendable {
    /// The model.
    public let model: EmbeddedModel
    /// The processors that the model may use.
    public let compute: DeviceReport.Compute

    /// Creates a trial of a model on certain processors.
    public init(_ model: EmbeddedModel, compute: DeviceReport.Compute) {
        self.model = model
        self.compute = compute
    }

    /// The names of the model and its processors, such as "shvit_s1-224-coreml-int8 on CPU".
    public var id: String { "\(model.id) on \(Wording.compute(compute))" }
}

extension Trial {
    /// Returns every model on each set of processors that its runtime offers.
    ///
    /// - Parameters:
    ///   - models: The models, in the order of the rows. Those for runtimes that no phone has are left out.
    ///   - computes: The compute units for Core ML models.
    public static func all(of models: [EmbeddedModel], computes: [DeviceReport.Compute]) -> [Trial] {
        models.flatMap { model -> [Trial] in
            switch model.manifest.target {
            case .coreml: computes.map { Trial(model, compute: $0) }
            // The program allows its Core ML delegate all processors.
            case .executorch where model.manifest.delegation?.backend == "CoreMLBackend": [Trial(model, compute: .all)]
            // XNNPACK runs on the CPU only, and ExecuTorch chooses the number of threads.
            case .executorch: [Trial(model, compute: .cpu)]
            case .onnx, .litert, .coreai: []
            }
        }
    }

    /// Returns the default trial of a model; nil if no phone can run it.
    public static func standard(of model: EmbeddedModel) -> Trial? {
        all(of: [model], computes: [.all]).first
    }

    /// Checks that a screen can show what the model finds.
    ///
    /// - Throws: `unsupportedDocument` for a model that gives feature maps.
    func checkIsShown() throws(SHViTError) {
        guard model.manifest.task != .features else {
            throw .unsupportedDocument(
                "\(model.id) gives feature maps.", why: "Camera and photo show classes or objects.",
                next: "Choose another model under Models. Benchmark and golden check run this one.")
        }
    }
}

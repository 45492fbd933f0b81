import SHViTKit

/// A model on certain processors: one row of a benchmark.
public struct Trial: Identifiable, Sendable {
    /// What is measured.
    public let model: EmbeddedModel
    /// The processors that it may use.
    public let compute: DeviceReport.Compute

    /// A row.
    public init(_ model: EmbeddedModel, compute: DeviceReport.Compute) {
        self.model = model
        self.compute = compute
    }

    /// The model's with the processors', as "shvit_s1-224-coreml-int8 on CPU".
    public var id: String { "\(model.id) on \(Wording.compute(compute))" }
}

extension Trial {
    /// Every model on all processors that its runtime lets one choose.
    ///
    /// - Parameters:
    ///   - models: in the order of the rows; one whose runtime no phone has is left out.
    ///   - computes: for Core ML.
    public static func all(of models: [EmbeddedModel], computes: [DeviceReport.Compute]) -> [Trial] {
        models.flatMap { model -> [Trial] in
            switch model.manifest.target {
            case .coreml: computes.map { Trial(model, compute: $0) }
            // XNNPACK has the processor alone, and ExecuTorch decides on how many threads.
            case .executorch: [Trial(model, compute: .cpu)]
            case .onnx: []
            }
        }
    }

    /// Where a model runs unless someone chooses otherwise.
    public static func standard(of model: EmbeddedModel) -> Trial? {
        all(of: [model], computes: [.all]).first
    }
}

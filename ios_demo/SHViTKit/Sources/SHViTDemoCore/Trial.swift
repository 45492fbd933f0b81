import SHViTKit

/// A model on certain processors: one row of a benchmark.
public struct Trial: Identifiable, Sendable {
    /// What is measured.
    public let model: EmbeddedModel
    /// The processors that it may use.
    public let compute: DeviceReport.Compute
    /// Of a runtime that takes a number of them; nil elsewhere.
    public let threads: Int?

    /// A row.
    public init(_ model: EmbeddedModel, compute: DeviceReport.Compute, threads: Int? = nil) {
        self.model = model
        self.compute = compute
        self.threads = threads
    }

    /// The model's with the processors', as "shvit_s1-224-coreml-int8 on CPU".
    public var id: String { "\(model.id) on \(place)" }

    /// The processors in words.
    public var place: String { Wording.place(compute, threads: threads) }
}

extension Trial {
    /// Every model on all processors that its runtime lets one choose: Core ML takes compute units, ExecuTorch threads.
    ///
    /// - Parameters:
    ///   - models: in the order of the rows; one whose runtime no phone has is left out.
    ///   - computes: for Core ML.
    ///   - threads: for ExecuTorch, each at least 1.
    public static func all(
        of models: [EmbeddedModel], computes: [DeviceReport.Compute], threads: [Int]
    ) -> [Trial] {
        models.flatMap { model -> [Trial] in
            switch model.manifest.target {
            case .coreml: computes.map { Trial(model, compute: $0) }
            case .executorch: threads.map { Trial(model, compute: .cpu, threads: $0) }
            case .onnx: []
            }
        }
    }

    /// Where a model runs unless someone chooses otherwise.
    public static func standard(of model: EmbeddedModel) -> Trial? {
        all(of: [model], computes: [.all], threads: [2]).first
    }
}

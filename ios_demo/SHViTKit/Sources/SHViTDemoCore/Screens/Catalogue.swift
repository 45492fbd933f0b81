import Observation
import SHViTKit

/// The app's models, and which of them the camera and the photos go to.
@MainActor
@Observable
public final class Catalogue {
    /// By name; those that a phone can run.
    public let models: [EmbeddedModel]
    /// What is wrong with folders that hold none.
    public let problems: [SHViTError]
    /// The name of the one in use.
    public var chosenName: EmbeddedModel.ID?
    /// The processors that it uses under Core ML.
    public var compute = DeviceReport.Compute.all

    /// - Parameter store: read once.
    public init(store: ModelStore) {
        let listing = store.listing()
        models = listing.models.filter { Trial.standard(of: $0) != nil }
        problems = listing.problems
        chosenName = models.first?.id
    }

    /// The model in use, where it runs; nil where there is none.
    public var chosen: Trial? {
        guard let model = models.first(where: { $0.id == chosenName }) else { return nil }
        return Trial.all(of: [model], computes: [compute]).first
    }
}

import Observation
import SHViTKit

/// The app's models, and the one that classifies camera frames and photos.
@MainActor
@Observable
public final class Catalog {
    /// The models that a phone can run, sorted by name.
    public let models: [EmbeddedModel]
    /// The errors of folders without a usable model.
    public let problems: [SHViTError]
    /// The name of the active model.
    public var chosenName: EmbeddedModel.ID?
    /// The compute units that a Core ML model uses.
    public var compute = DeviceReport.Compute.all

    /// - Parameter store: The app's models; read once.
    public init(store: ModelStore) {
        let listing = store.listing()
        models = listing.models.filter { Trial.standard(of: $0) != nil }
        problems = listing.problems
        chosenName = models.first?.id
    }

    /// The active model with its compute units; nil if there is none.
    public var chosen: Trial? {
        guard let model = models.first(where: { $0.id == chosenName }) else { return nil }
        return Trial.all(of: [model], computes: [compute]).first
    }
}

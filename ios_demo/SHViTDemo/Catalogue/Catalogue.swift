import Observation
import SHViTDemoCore
import SHViTKit

/// The app's models, and which of them the camera and the photos go to.
@MainActor
@Observable
final class Catalogue {
    /// By name; those that a phone can run.
    let models: [EmbeddedModel]
    /// What is wrong with folders that hold none.
    let problems: [SHViTError]
    /// The name of the one in use.
    var chosenName: EmbeddedModel.ID?
    /// The processors that it uses under Core ML.
    var compute = DeviceReport.Compute.all

    init(store: ModelStore) {
        let listing = store.listing()
        models = listing.models.filter { Trial.standard(of: $0) != nil }
        problems = listing.problems
        chosenName = models.first?.id
    }

    /// The model in use, where it runs; nil where there is none.
    var chosen: Trial? {
        guard let model = models.first(where: { $0.id == chosenName }) else { return nil }
        return Trial.all(of: [model], computes: [compute]).first
    }
}

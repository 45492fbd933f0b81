import SHViTDemoCore
import SHViTKit
import SwiftUI

/// The models in the app. You choose one for camera and photos, and read the manifest of each.
struct CatalogScreen: View {
    @Environment(Catalog.self) private var catalog

    var body: some View {
        @Bindable var catalog = catalog
        NavigationStack {
            List {
                Section("Active model") {
                    Picker("Model", selection: $catalog.chosenName) {
                        ForEach(catalog.models) { model in
                            Text(model.id).tag(Optional(model.id))
                        }
                    }
                    Picker("Core ML compute units", selection: $catalog.compute) {
                        ForEach(DeviceReport.Compute.allCases, id: \.self) { compute in
                            Text(Wording.compute(compute)).tag(compute)
                        }
                    }
                }
                Section("All models") {
                    ForEach(catalog.models) { model in
                        NavigationLink {
                            ModelDetails(model: model)
                        } label: {
                            ModelRow(model: model)
                        }
                    }
                }
                ForEach(catalog.problems, id: \.description) { problem in
                    Section("Unusable model") { TroubleText(problem) }
                }
            }
            .pickerStyle(.navigationLink)
            .navigationTitle("Models")
        }
    }
}

/// A model in a list.
private struct ModelRow: View {
    let model: EmbeddedModel

    var body: some View {
        VStack(alignment: .leading) {
            Text(model.id)
            Text("\(Wording.engine(model.manifest.target)), \(Wording.megabytes(model.manifest.artifact.bytes))")
                .font(.caption)
                .foregroundStyle(.secondary)
        }
        .accessibilityElement(children: .combine)
    }
}

/// The contents of a model's manifest.
private struct ModelDetails: View {
    let model: EmbeddedModel

    var body: some View {
        List {
            ForEach(ManifestFacts.all(of: model.manifest)) { section in
                Section(section.id) {
                    ForEach(section.facts) { fact in
                        LabeledContent(fact.id, value: fact.value)
                    }
                }
            }
            Section("Labels") {
                ForEach(Array(model.labels.enumerated()), id: \.offset) { _, label in
                    Text(label)
                }
            }
        }
        .navigationTitle(model.id)
        .navigationBarTitleDisplayMode(.inline)
    }
}

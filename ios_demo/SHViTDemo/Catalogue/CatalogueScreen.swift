import SHViTDemoCore
import SHViTKit
import SwiftUI

/// All models: one is chosen for the camera and the photos, each tells what it is.
struct CatalogueScreen: View {
    @Environment(Catalogue.self) private var catalogue

    var body: some View {
        @Bindable var catalogue = catalogue
        NavigationStack {
            List {
                Section("In use") {
                    Picker("Model", selection: $catalogue.chosenName) {
                        ForEach(catalogue.models) { model in
                            Text(model.id).tag(Optional(model.id))
                        }
                    }
                    Picker("Core ML runs on", selection: $catalogue.compute) {
                        ForEach(DeviceReport.Compute.allCases, id: \.self) { compute in
                            Text(Wording.compute(compute)).tag(compute)
                        }
                    }
                }
                Section("In the app") {
                    ForEach(catalogue.models) { model in
                        NavigationLink {
                            ModelDetails(model: model)
                        } label: {
                            ModelRow(model: model)
                        }
                    }
                }
                ForEach(catalogue.problems, id: \.description) { problem in
                    Section("Cannot be used") { TroubleText(problem) }
                }
            }
            .pickerStyle(.navigationLink)
            .navigationTitle("Models")
        }
    }
}

/// A model in a line.
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

/// What a model's manifest says.
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

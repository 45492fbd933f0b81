import Foundation
import PhotosUI
import SHViTDemoCore
import SHViTKit
import SwiftUI
import UIKit

/// Finds classes or objects in a photo from the library.
struct PhotoScreen: View {
    let model: PhotoModel
    @Environment(Catalog.self) private var catalog
    @State private var item: PhotosPickerItem?
    @State private var shown: UIImage?

    var body: some View {
        NavigationStack {
            content
                .navigationTitle("Photo")
                .toolbar {
                    PhotosPicker(selection: $item, matching: .images) {
                        Label("Choose a photo", systemImage: "photo.badge.plus")
                    }
                }
        }
        .task(id: Job(item: item, trial: catalog.chosen?.id)) {
            guard let item, let trial = catalog.chosen else { return }
            await model.analyze(with: trial) { try await item.loadTransferable(type: Data.self) }
        }
        .task(id: model.photo) { shown = await Self.thumbnail(of: model.photo) }
    }

    @ViewBuilder private var content: some View {
        if catalog.chosen == nil {
            NoModelView()
        } else if item == nil {
            ContentUnavailableView(
                "No photo selected", systemImage: "photo",
                description: Text("Choose a photo to see what the model finds."))
        } else {
            ScrollView {
                picture
                answer
                ReducedScaleToggle()
            }
            .padding(.horizontal)
        }
    }

    @ViewBuilder private var picture: some View {
        if let shown {
            Image(uiImage: shown)
                .resizable()
                .scaledToFit()
                .overlay { BoxesView(analysis: analysis) }
                .clipShape(RoundedRectangle(cornerRadius: 16))
                .accessibilityLabel("Selected photo")
        }
    }

    /// Scales the photo down to the size of a screen: drawing 48 megapixels would take 200 MB.
    private nonisolated static func thumbnail(of photo: Data?) async -> UIImage? {
        guard let photo, let image = UIImage(data: photo) else { return nil }
        let scale = min(1200 / max(image.size.width, image.size.height), 1)
        return image.preparingThumbnail(
            of: CGSize(width: image.size.width * scale, height: image.size.height * scale))
    }

    private var analysis: Analysis? {
        if case .analyzed(let analysis) = model.phase { analysis } else { nil }
    }

    @ViewBuilder private var answer: some View {
        switch model.phase {
        case .empty: EmptyView()
        case .working: ProgressView("Analyzing …")
        case .analyzed(let analysis):
            AnalysisView(analysis: analysis, latency: analysis.inferenceMs)
            if model.reduction > 1 {
                Text("Decoded at 1/\(model.reduction) of its size.")
            }
        case .failed(let error): TroubleText(error)
        }
    }
}

/// The setting for large photos and goldens.
struct ReducedScaleToggle: View {
    @AppStorage(Device.reducedScale) private var isAllowed = false

    var body: some View {
        Toggle("Decode large photos at reduced scale", isOn: $isAllowed)
    }
}

/// What an analysis depends on. Another photo or model starts a new one.
private struct Job: Equatable {
    let item: PhotosPickerItem?
    let trial: Trial.ID?
}

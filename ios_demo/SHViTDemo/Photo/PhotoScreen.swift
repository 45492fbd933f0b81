import Foundation
import PhotosUI
import SHViTDemoCore
import SwiftUI
import UIKit

/// A photo of the library, and what a model says of it.
struct PhotoScreen: View {
    @Environment(Catalogue.self) private var catalogue
    @State private var model = PhotoModel(decoder: Device.decoder, sources: Device.source(of:))
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
        .task(id: Job(item: item, trial: catalogue.chosen?.id)) {
            guard let item, let trial = catalogue.chosen else { return }
            await model.recognise(with: trial) { try await item.loadTransferable(type: Data.self) }
        }
        .task(id: model.photo) { shown = await Self.thumbnail(of: model.photo) }
    }

    @ViewBuilder private var content: some View {
        if catalogue.chosen == nil {
            NoModelView()
        } else if item == nil {
            ContentUnavailableView(
                "No photo yet", systemImage: "photo",
                description: Text("Choose one, and see what the model says of it."))
        } else {
            ScrollView {
                picture
                answer
            }
            .padding(.horizontal)
        }
    }

    @ViewBuilder private var picture: some View {
        if let shown {
            Image(uiImage: shown)
                .resizable()
                .scaledToFit()
                .clipShape(RoundedRectangle(cornerRadius: 16))
                .accessibilityLabel("The chosen photo")
        }
    }

    /// As large as a screen, at most: a photo of 48 megapixels would take 200 MB to be drawn.
    private nonisolated static func thumbnail(of photo: Data?) async -> UIImage? {
        guard let photo, let image = UIImage(data: photo) else { return nil }
        let scale = min(1200 / max(image.size.width, image.size.height), 1)
        return image.preparingThumbnail(
            of: CGSize(width: image.size.width * scale, height: image.size.height * scale))
    }

    @ViewBuilder private var answer: some View {
        switch model.phase {
        case .empty: EmptyView()
        case .working: ProgressView("Recognising")
        case .answered(let answer): AnswerView(answer: answer, latency: answer.inference)
        case .failed(let error): TroubleText(error)
        }
    }
}

/// What an answer is of: another photo or another model asks anew.
private struct Job: Equatable {
    let item: PhotosPickerItem?
    let trial: Trial.ID?
}

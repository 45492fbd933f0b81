import Foundation
import SHViTDemoCore
import SHViTKit
import SwiftUI
import UIKit

/// The camera's picture with what the model finds on top.
struct CameraScreen: View {
    @Environment(Catalog.self) private var catalog
    @Environment(\.scenePhase) private var scenePhase
    @State private var model = LiveModel(
        sources: Device.source(of:), isAllowed: Camera.isAllowed, open: { Camera() })

    var body: some View {
        if let trial = catalog.chosen {
            content
                .task(id: Job(trial: trial.id, isShown: AppPhase(scenePhase).isOnScreen)) {
                    guard AppPhase(scenePhase).isOnScreen else { return }
                    await model.run(trial)
                }
        } else {
            NoModelView()
        }
    }

    @ViewBuilder private var content: some View {
        switch model.phase {
        case .starting: ProgressView("Starting the camera …")
        case .denied: DeniedView()
        case .failed(let error): TroubleView(error)
        case .interrupted:
            ContentUnavailableView(
                "The camera is in use", systemImage: "camera.badge.clock",
                description: Text("Another app or a call uses the camera. The picture returns when it is free."))
        case .running:
            ZStack(alignment: .bottom) {
                if let camera = model.camera {
                    CameraPreview(session: camera.session)
                        .accessibilityLabel("Live camera picture")
                        .overlay { CropView(geometry: model.geometry) }
                        .overlay { BoxesView(analysis: model.answer) }
                        .aspectRatio(model.geometry?.aspectRatio ?? 0.75, contentMode: .fit)
                        .frame(maxHeight: .infinity, alignment: .top)
                }
                if let answer = model.answer {
                    AnalysisView(analysis: answer, latency: model.latency.median ?? answer.inferenceMs)
                        .padding()
                        .accessibilityAddTraits(.updatesFrequently)
                }
            }
        }
    }
}

/// What a run of the camera depends on. Another model, or returning to the app, starts a new run.
private struct Job: Equatable {
    let trial: Trial.ID
    let isShown: Bool
}

/// Frames the part of the camera's picture that the model sees.
private struct CropView: View {
    let geometry: CameraGeometry?

    var body: some View {
        if let geometry {
            GeometryReader { view in
                let crop = geometry.crop(inViewOfWidth: view.size.width, height: view.size.height)
                Rectangle()
                    .stroke(Color.white, lineWidth: 2)
                    .frame(width: crop.width, height: crop.height)
                    .offset(x: crop.left, y: crop.top)
            }
            .accessibilityHidden(true)
        }
    }
}

/// The screen without permission to use the camera, with a way to grant it.
private struct DeniedView: View {
    @Environment(\.openURL) private var openURL

    var body: some View {
        ContentUnavailableView {
            Label("No access to the camera", systemImage: "camera.badge.ellipsis")
        } description: {
            Text("The app may not use the camera. Allow it in Settings, or choose a photo instead.")
        } actions: {
            Button("Open Settings") {
                guard let settings = URL(string: UIApplication.openSettingsURLString) else { return }
                openURL(settings)
            }
        }
    }
}

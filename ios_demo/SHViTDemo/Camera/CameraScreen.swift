import Foundation
import SHViTDemoCore
import SHViTKit
import SwiftUI
import UIKit

/// The camera's picture with the live predictions on top.
struct CameraScreen: View {
    @Environment(Catalog.self) private var catalog
    @Environment(\.scenePhase) private var scenePhase
    @State private var model = LiveModel(
        sources: Device.source(of:), isAllowed: Camera.isAllowed, open: { Camera() })

    var body: some View {
        if let trial = catalog.chosen {
            content
                .task(id: Job(trial: trial.id, isShown: scenePhase != .background)) {
                    // In the background the system takes the camera away anyway. An alert, such as the question whether
                    // the app may use the camera, only makes the scene inactive.
                    guard scenePhase != .background else { return }
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
                        .ignoresSafeArea(edges: .top)
                        .accessibilityLabel("Live camera picture")
                }
                if let answer = model.answer {
                    ClassificationView(answer: answer, latency: model.latency.median ?? answer.inferenceMs)
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

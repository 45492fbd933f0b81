import Foundation
import SHViTDemoCore
import SHViTKit
import SwiftUI
import UIKit

/// The camera's picture with the live answer over it.
struct CameraScreen: View {
    @Environment(Catalogue.self) private var catalogue
    @Environment(\.scenePhase) private var scenePhase
    @State private var model = CameraModel()

    var body: some View {
        if let trial = catalogue.chosen {
            content
                .task(id: Job(trial: trial.id, isActive: scenePhase == .active)) {
                    // Away from the screen the system takes the camera anyway.
                    guard scenePhase == .active else { return }
                    await model.run(trial)
                }
        } else {
            NoModelView()
        }
    }

    @ViewBuilder private var content: some View {
        switch model.phase {
        case .starting: ProgressView("Starting the camera")
        case .denied: DeniedView()
        case .failed(let error): TroubleView(error)
        case .running:
            ZStack(alignment: .bottom) {
                if let camera = model.camera {
                    CameraPreview(session: camera.session)
                        .ignoresSafeArea(edges: .top)
                        .accessibilityLabel("Camera")
                }
                if let answer = model.answer {
                    AnswerView(answer: answer, latency: model.latency.median ?? answer.inference)
                        .padding()
                        .accessibilityAddTraits(.updatesFrequently)
                }
            }
        }
    }
}

/// What the camera is run for: another model, or coming back to the app, starts it anew.
private struct Job: Equatable {
    let trial: Trial.ID
    let isActive: Bool
}

/// What is seen where the camera may not be used, with the way to change that.
private struct DeniedView: View {
    @Environment(\.openURL) private var openURL

    var body: some View {
        ContentUnavailableView {
            Label("The camera may not be used", systemImage: "camera.badge.ellipsis")
        } description: {
            Text("The app was refused access. Allow it in Settings, or choose a photo instead.")
        } actions: {
            Button("Open Settings") {
                guard let settings = URL(string: UIApplication.openSettingsURLString) else { return }
                openURL(settings)
            }
        }
    }
}

import Foundation
import SHViTDemoCore
import SHViTKit
import SwiftUI
import UIKit

/// What is seen while a computer has the phone measure; the app ends with the run's exit status.
struct HeadlessScreen: View {
    let request: BenchmarkRequest

    var body: some View {
        ContentUnavailableView {
            Label("Measuring", systemImage: "gauge.with.needle")
        } description: {
            Text("A computer started this. The app ends by itself; leave the phone alone until then.")
        } actions: {
            ProgressView()
        }
        .task {
            // A phone that locks suspends the app.
            UIApplication.shared.isIdleTimerDisabled = true
            let run = HeadlessRun(
                store: Device.store, documents: .documentsDirectory, benchmark: Device.benchmark,
                about: Device.about(), say: { print($0) })
            exit(await run.run(request).rawValue)
        }
    }
}

/// What is seen where launch arguments make no sense; the app ends at once.
struct RefusedScreen: View {
    let error: SHViTError

    var body: some View {
        TroubleView(error)
            .task {
                print("error: \(error)")
                exit(HeadlessRun.ExitStatus.wrongInput.rawValue)
            }
    }
}

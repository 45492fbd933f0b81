import Foundation
import SHViTDemoCore
import SHViTKit
import SwiftUI
import UIKit

/// The screen during a benchmark that a computer started. The app then exits with the benchmark's status.
struct HeadlessScreen: View {
    @Environment(\.scenePhase) private var scenePhase
    @State private var model: HeadlessModel

    init(request: BenchmarkRequest) {
        var about = Device.about()
        about.runId = request.runId
        let run = HeadlessRun(
            store: Device.store, documents: .documentsDirectory, benchmark: Device.benchmark, about: about,
            log: RunLog(runId: request.runId).log)
        _model = State(initialValue: HeadlessModel(run: { await run.run(request) }, exit: { exit($0) }))
    }

    var body: some View {
        ContentUnavailableView {
            Label("Benchmark running", systemImage: "gauge.with.needle")
        } description: {
            Text("A computer started this benchmark. The app closes when it is done. Do not use the phone until then.")
        } actions: {
            ProgressView()
        }
        .task {
            // A phone that locks suspends the app.
            UIApplication.shared.isIdleTimerDisabled = true
            model.start()
        }
        .onChange(of: scenePhase) { _, phase in
            model.follow(AppPhase(phase))
        }
    }
}

/// The screen for invalid launch arguments. The app exits at once.
struct RefusedScreen: View {
    let error: SHViTError

    var body: some View {
        TroubleView(error)
            .task {
                RunLog(arguments: Array(ProcessInfo.processInfo.arguments.dropFirst())).log("error: \(error)")
                exit(HeadlessRun.ExitStatus.wrongInput.rawValue)
            }
    }
}

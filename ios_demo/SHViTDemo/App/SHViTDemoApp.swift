import SHViTDemoCore
import SwiftUI

/// The app. It shows its screens; with the launch argument `-benchmark` it measures and exits.
@main
struct SHViTDemoApp: App {
    private let launch = Launch(arguments: Array(ProcessInfo.processInfo.arguments.dropFirst()))

    var body: some Scene {
        WindowGroup {
            switch launch {
            case .byHand: RootView()
            case .headless(let request): HeadlessScreen(request: request)
            case .refused(let error): RefusedScreen(error: error)
            }
        }
    }
}

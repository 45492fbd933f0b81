import SHViTDemoCore
import SwiftUI

/// The app: started by hand it shows its screens, started with `-benchmark` it measures and ends.
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

import SHViTDemoCore
import SwiftUI

extension AppPhase {
    /// Converts SwiftUI's phase of the scene. One that did not exist when this was written counts as inactive.
    init(_ phase: ScenePhase) {
        switch phase {
        case .active: self = .active
        case .inactive: self = .inactive
        case .background: self = .background
        @unknown default: self = .inactive
        }
    }
}

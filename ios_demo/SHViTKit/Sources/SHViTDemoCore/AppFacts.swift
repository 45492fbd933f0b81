import Foundation
import SHViTKit

extension Profiler.About {
    /// Describes an app for a report: its name, version and build, the system, and the runtime that it contains.
    ///
    /// - Parameters:
    ///   - name: The app's name.
    ///   - info: The app's `Info.plist`.
    ///   - device: The device that the app runs on.
    ///   - executorch: The version of ExecuTorch in the app. Core ML's version is the system's.
    public init(name: String, info: [String: Any], device: DeviceReport.Device, executorch: String) {
        let version = info["CFBundleShortVersionString"] as? String ?? "0"
        let build = info["CFBundleVersion"] as? String ?? "0"
        self.init(
            app: "\(name) \(version) (\(build)) for iOS", versions: ["ios": device.system, "executorch": executorch],
            device: device)
    }
}

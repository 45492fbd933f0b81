import Foundation
import SHViTKit

extension Profiler.About {
    /// What a report says of an app, now: its name, version and build, the system, and the runtime that it brings along.
    ///
    /// - Parameters:
    ///   - name: the app's.
    ///   - info: its `Info.plist`.
    ///   - device: where it runs.
    ///   - executorch: the version of ExecuTorch in the app; Core ML's is the system's.
    public init(name: String, info: [String: Any], device: DeviceReport.Device, executorch: String) {
        let version = info["CFBundleShortVersionString"] as? String ?? "0"
        let build = info["CFBundleVersion"] as? String ?? "0"
        self.init(
            app: "\(name) \(version) (\(build)) for iOS", versions: ["ios": device.system, "executorch": executorch],
            device: device)
    }
}

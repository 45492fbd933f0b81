import Foundation

/// Models that the system has compiled, kept from launch to launch.
struct CompiledModels: Sendable {
    /// What holds them.
    let folder: URL
    /// The version of the system, since another may compile differently.
    let system: String

    /// Those of this app.
    static var inCaches: CompiledModels {
        let version = ProcessInfo.processInfo.operatingSystemVersion
        let caches = FileManager.default.urls(for: .cachesDirectory, in: .userDomainMask).first
        return CompiledModels(
            folder: (caches ?? FileManager.default.temporaryDirectory).appending(path: "SHViTKit"),
            system: "\(version.majorVersion).\(version.minorVersion).\(version.patchVersion)")
    }

    /// Where the one that was made of an artifact is, or will be.
    func place(of sha256: String) -> URL {
        folder.appending(path: "\(sha256)-\(system).mlmodelc")
    }

    /// Whether there is one of an artifact.
    func hold(_ sha256: String) -> Bool {
        FileManager.default.fileExists(atPath: place(of: sha256).path)
    }

    /// Takes one that lies elsewhere, whole or not at all.
    ///
    /// - Throws: `SHViTError` where it cannot be moved.
    func keep(_ compiled: URL, for sha256: String) throws(SHViTError) {
        let files = FileManager.default
        do {
            try files.createDirectory(at: folder, withIntermediateDirectories: true)
            forget(sha256)
            try files.moveItem(at: compiled, to: place(of: sha256))
        } catch {
            throw SHViTError(
                "A compiled model cannot be kept: \(error.localizedDescription)",
                why: "Without it, the model would be compiled at each launch.", next: "Make room on the phone.")
        }
    }

    /// Deletes the one of an artifact, where there is one.
    func forget(_ sha256: String) {
        try? FileManager.default.removeItem(at: place(of: sha256))
    }
}

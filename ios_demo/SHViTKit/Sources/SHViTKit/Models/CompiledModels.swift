import Foundation

/// A cache of the models that the system has compiled.
package struct CompiledModels: Sendable {
    /// The cache's folder.
    let folder: URL
    /// The system's version: another version may compile differently.
    let system: String

    /// The cache of this app.
    package static var inCaches: CompiledModels {
        let version = ProcessInfo.processInfo.operatingSystemVersion
        let caches = FileManager.default.urls(for: .cachesDirectory, in: .userDomainMask).first
        return CompiledModels(
            folder: (caches ?? FileManager.default.temporaryDirectory).appending(path: "SHViTKit"),
            system: "\(version.majorVersion).\(version.minorVersion).\(version.patchVersion)")
    }

    /// Returns the location of an artifact's compiled model, which need not exist.
    package func location(of sha256: String) -> URL {
        folder.appending(path: "\(sha256)-\(system).mlmodelc")
    }

    /// Returns whether the cache contains an artifact's compiled model.
    func contains(_ sha256: String) -> Bool {
        FileManager.default.fileExists(atPath: location(of: sha256).path)
    }

    /// Moves a compiled model into the cache, atomically.
    ///
    /// - Throws: `SHViTError` if it cannot be moved.
    func store(_ compiled: URL, for sha256: String) throws(SHViTError) {
        let files = FileManager.default
        do {
            try files.createDirectory(at: folder, withIntermediateDirectories: true)
            remove(sha256)
            try files.moveItem(at: compiled, to: location(of: sha256))
        } catch {
            throw SHViTError.runtimeFailure(
                "A compiled model cannot be saved: \(error.localizedDescription)",
                why: "Without it, the app would compile the model at each launch.",
                next: "Free some storage on the phone.")
        }
    }

    /// Deletes an artifact's compiled model, if there is one.
    func remove(_ sha256: String) {
        try? FileManager.default.removeItem(at: location(of: sha256))
    }
}

/// Compiles each artifact once, however many tasks ask for it at the same time.
package actor Compilations {
    /// The compilations of this app.
    package static let shared = Compilations()

    private var running: [URL: Task<Void, any Error>] = [:]

    /// Compiles an artifact into a cache that lacks it. A task that is cancelled does not stop the others' compilation.
    ///
    /// - Parameters:
    ///   - sha256: The artifact's SHA-256.
    ///   - models: The cache.
    ///   - work: Returns the location of the compiled model, which moves into the cache.
    /// - Returns: Whether there was anything to compile.
    package func compile(
        _ sha256: String, into models: CompiledModels, work: @escaping @Sendable () async throws -> URL
    ) async throws -> Bool {
        let place = models.location(of: sha256)
        if let other = running[place] {
            try await other.value
            return true
        }
        if models.contains(sha256) { return false }
        let task = Task { try models.store(try await work(), for: sha256) }
        running[place] = task
        defer { running[place] = nil }
        try await task.value
        return true
    }

    /// Deletes a compiled model, unless it is being compiled.
    package func remove(_ sha256: String, from models: CompiledModels) {
        if running[models.location(of: sha256)] == nil { models.remove(sha256) }
    }
}

import Foundation
import Testing

@testable import SHViTKit

struct CompiledModelsTests {
    @Test("A compiled model is cached per artifact and system, and a newer one replaces it")
    func kept() async throws {
        try await withFolder { folder in
            let models = CompiledModels(folder: folder.appending(path: "kept"), system: "17.4.1")
            #expect(!models.contains("ab"))
            for content in ["first", "second"] {
                let compiled = folder.appending(path: "fresh.mlmodelc")
                try write(Data(content.utf8), to: compiled.appending(path: "model.mil"))
                try models.store(compiled, for: "ab")
                #expect(models.contains("ab"))
                #expect(!FileManager.default.fileExists(atPath: compiled.path))
                #expect(
                    try Data(contentsOf: models.location(of: "ab").appending(path: "model.mil")) == Data(content.utf8))
            }
            #expect(!models.contains("cd"))
            #expect(!CompiledModels(folder: models.folder, system: "18.0.0").contains("ab"))
            models.remove("ab")
            #expect(!models.contains("ab"))
        }
    }

    /// A compiler that waits for a signal, and writes a model.
    final class Compiler: Sendable {
        let count = Locked(0)
        let (isTold, tell) = AsyncStream.makeStream(of: Void.self)
        let folder: URL

        init(in folder: URL) {
            self.folder = folder
        }

        func compile() async throws -> URL {
            count.withLock { $0 += 1 }
            for await _ in isTold { break }
            let compiled = folder.appending(path: UUID().uuidString)
            try write(Data("compiled".utf8), to: compiled.appending(path: "model.mil"))
            return compiled
        }
    }

    @Test("Tasks that need the same model at the same time compile it once, even if the first is cancelled")
    func once() async throws {
        try await withFolder { folder in
            let models = CompiledModels(folder: folder.appending(path: "kept"), system: "17.4.1")
            let (compilations, compiler) = (Compilations(), Compiler(in: folder))
            let tasks = (0..<4).map { _ in
                Task { try await compilations.compile("ab", into: models) { try await compiler.compile() } }
            }
            while compiler.count.withLock({ $0 }) == 0 { await Task.yield() }
            tasks[0].cancel()
            await compilations.remove("ab", from: models)
            compiler.tell.finish()
            for task in tasks { #expect(try await task.value) }
            #expect(compiler.count.withLock { $0 } == 1)
            #expect(models.contains("ab"))
            let again = try await compilations.compile("ab", into: models) { try await compiler.compile() }
            #expect(!again)
            await compilations.remove("ab", from: models)
            let anew = try await compilations.compile("ab", into: models) { try await compiler.compile() }
            #expect(anew)
        }
    }

    @Test("A failed compilation fails for all, and the next attempt compiles again")
    func failedOnce() async throws {
        try await withFolder { folder in
            let models = CompiledModels(folder: folder, system: "17.4.1")
            let (compilations, count) = (Compilations(), Locked(0))
            for attempt in 1...2 {
                await #expect(throws: SHViTError.self) {
                    _ = try await compilations.compile("ab", into: models) {
                        count.withLock { $0 += 1 }
                        throw SHViTError.runtimeFailure("It does not compile.")
                    }
                }
                #expect(count.withLock { $0 } == attempt)
            }
        }
    }

    @Test("A failure to cache a model is an error that says why")
    func refused() async throws {
        try await withFolder { folder in
            let models = CompiledModels(folder: folder, system: "17.4.1")
            let words = sentence { try models.store(folder.appending(path: "nothing.mlmodelc"), for: "ab") }
            #expect(words.hasPrefix("runtimeFailure"))
        }
    }

    @Test("The app's cache is in Caches, for the current system version")
    func caches() {
        let version = ProcessInfo.processInfo.operatingSystemVersion
        let place = CompiledModels.inCaches.location(of: "ab")
        let system = "\(version.majorVersion).\(version.minorVersion).\(version.patchVersion)"
        #expect(place.lastPathComponent == "ab-\(system).mlmodelc")
        #expect(place.deletingLastPathComponent().lastPathComponent == "SHViTKit")
    }

    @Test("A known model code has a product name, an unknown one has none")
    func names() {
        #expect(phoneName(of: "iPhone16,1") == "iPhone 15 Pro")
        #expect(phoneName(of: "iPhone14,6") == "iPhone SE (3rd generation)")
        #expect(phoneName(of: "iPad14,1") == nil)
    }
}

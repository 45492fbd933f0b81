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

    @Test("A failure to cache a model is an error that says why")
    func refused() async throws {
        try await withFolder { folder in
            let models = CompiledModels(folder: folder, system: "17.4.1")
            let words = sentence { try models.store(folder.appending(path: "nothing.mlmodelc"), for: "ab") }
            #expect(words.contains("A compiled model cannot be saved"))
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

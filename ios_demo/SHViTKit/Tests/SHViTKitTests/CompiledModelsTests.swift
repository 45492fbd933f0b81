import Foundation
import Testing

@testable import SHViTKit

struct CompiledModelsTests {
    @Test("A compiled model is kept by its artifact and its system, and a second takes its place")
    func kept() async throws {
        try await withFolder { folder in
            let models = CompiledModels(folder: folder.appending(path: "kept"), system: "17.4.1")
            #expect(!models.hold("ab"))
            for content in ["first", "second"] {
                let compiled = folder.appending(path: "fresh.mlmodelc")
                try write(Data(content.utf8), to: compiled.appending(path: "model.mil"))
                try models.keep(compiled, for: "ab")
                #expect(models.hold("ab"))
                #expect(!FileManager.default.fileExists(atPath: compiled.path))
                #expect(try Data(contentsOf: models.place(of: "ab").appending(path: "model.mil")) == Data(content.utf8))
            }
            #expect(!models.hold("cd"))
            #expect(!CompiledModels(folder: models.folder, system: "18.0.0").hold("ab"))
            models.forget("ab")
            #expect(!models.hold("ab"))
        }
    }

    @Test("What cannot be kept is told in words")
    func refused() async throws {
        try await withFolder { folder in
            let models = CompiledModels(folder: folder, system: "17.4.1")
            let words = sentence { try models.keep(folder.appending(path: "nothing.mlmodelc"), for: "ab") }
            #expect(words.contains("A compiled model cannot be kept"))
        }
    }

    @Test("The app's own are in its caches, for its system")
    func caches() {
        let version = ProcessInfo.processInfo.operatingSystemVersion
        let place = CompiledModels.inCaches.place(of: "ab")
        let system = "\(version.majorVersion).\(version.minorVersion).\(version.patchVersion)"
        #expect(place.lastPathComponent == "ab-\(system).mlmodelc")
        #expect(place.deletingLastPathComponent().lastPathComponent == "SHViTKit")
    }

    @Test("A phone has the name that people know, and one that is not known has none")
    func names() {
        #expect(phoneName(of: "iPhone16,1") == "iPhone 15 Pro")
        #expect(phoneName(of: "iPhone14,6") == "iPhone SE (3rd generation)")
        #expect(phoneName(of: "iPad14,1") == nil)
    }
}

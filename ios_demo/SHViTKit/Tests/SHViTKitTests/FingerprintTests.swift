import Foundation
import Testing

@testable import SHViTKit

/// Tests with values from Python's hashlib and fingerprints.
struct FingerprintTests {
    @Test("SHA-256 is correct at every length around a block's end")
    func bytes() {
        #expect(
            Fingerprint.sha256(of: Data()) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(
            Fingerprint.sha256(of: Data("abc".utf8))
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        let long = Data((0..<100_000).map { (i: Int) -> UInt8 in UInt8(i % 251) })
        #expect(
            Fingerprint.sha256(of: long) == "cd2df694e424bc7968cc37f47751019e5ca0cd1bdf2e479ea537c3a1c32ee1aa")
    }

    @Test("Hashing in pieces gives the same digest", arguments: [1, 55, 56, 63, 64, 65, 119, 120, 128])
    func pieces(size: Int) {
        let data = Data((0..<517).map { (i: Int) -> UInt8 in UInt8(i % 256) })
        var digest = SHA256Digest()
        for start in stride(from: 0, to: data.count, by: size) {
            digest.update(data[start..<min(start + size, data.count)])
        }
        #expect(digest.hexadecimal() == Fingerprint.sha256(of: data))
        let ended = data.prefix(size)
        #expect(Fingerprint.sha256(of: ended) == Self.knownPrefixes[size])
    }

    @Test("A package is hashed file by file in Python's order, including hidden files")
    func package() async throws {
        try await withFolder { folder in
            let package = folder.appending(path: "p.mlpackage")
            let weights = Data((0..<1280).map { (i: Int) -> UInt8 in UInt8(i % 256) })
            let files = [
                "Data/weights.bin": weights, "Data-1/a": Data(), "Data/.hidden": Data("x".utf8),
                "manifest.json": Data("{}".utf8), "Zebra": Data("z".utf8), "\u{e9}t\u{e9}": Data("e".utf8),
            ]
            for (name, data) in files {
                try write(data, to: package.appending(path: name))
            }
            let sha256 = try Fingerprint.sha256(of: package)
            #expect(sha256 == "bbb648689559d9d40ed97179d464abcb6ea77b4c22043776cbf53346bb6fe9a9")
            let size = try Fingerprint.sizeInBytes(of: package)
            #expect(size == 1280 + 5)
            let file = package.appending(path: "Data/weights.bin")
            let (fileHash, fileSize) = (try Fingerprint.sha256(of: file), try Fingerprint.sizeInBytes(of: file))
            #expect(fileHash == Fingerprint.sha256(of: weights))
            #expect(fileSize == 1280)
        }
    }

    @Test("The error names the missing file")
    func missing() {
        let nowhere = URL(filePath: "/nowhere/model.pte")
        #expect(sentence { _ = try Fingerprint.sha256(of: nowhere) }.hasPrefix("artifactChanged: model.pte"))
        #expect(sentence { _ = try Fingerprint.sizeInBytes(of: nowhere) }.hasPrefix("artifactChanged: model.pte"))
    }

    /// `hashlib.sha256(bytes(range(n))).hexdigest()`.
    static let knownPrefixes: [Int: String] = [
        1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        55: "463eb28e72f82e0a96c0a4cc53690c571281131f672aa229e0d45ae59b598b59",
        56: "da2ae4d6b36748f2a318f23e7ab1dfdf45acdc9d049bd80e59de82a60895f562",
        63: "29af2686fd53374a36b0846694cc342177e428d1647515f078784d69cdb9e488",
        64: "fdeab9acf3710362bd2658cdc9a29e8f9c757fcf9811603a8c447cd1d9151108",
        65: "4bfd2c8b6f1eec7a2afeb48b934ee4b2694182027e6d0fc075074f2fabb31781",
        119: "da18797ed7c3a777f0847f429724a2d8cd5138e6ed2895c3fa1a6d39d18f7ec6",
        120: "f52b23db1fbb6ded89ef42a23ce0c8922c45f25c50b568a93bf1c075420bbb7c",
        128: "471fb943aa23c511f6f72f8d1652d9c880cfa392ad80503120547703e56a2be5",
    ]
}

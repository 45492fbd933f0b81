import Foundation

/// The goldens of an artifact in their folder; each file is what its SHA-256 says, or it is refused.
public struct GoldenSet: Sendable {
    /// What the folder's list says.
    public let goldens: Goldens
    /// Where the files are.
    public let folder: URL

    private static let damaged = "A golden that is not what was exported proves nothing."
    private static let again = "Embed the model again: shvit-mobile embed"

    /// The goldens in a folder.
    ///
    /// - Parameters:
    ///   - folder: `NAME.goldens`.
    ///   - artifact: the SHA-256 of the artifact that is to answer them.
    /// - Throws: `SHViTError` where there are none, or they are those of another artifact.
    public init(folder: URL, of artifact: String) throws(SHViTError) {
        goldens = try Document<Goldens>(contentsOf: folder.appending(path: "goldens.json")).content
        self.folder = folder
        guard goldens.artifactSha256 == artifact else {
            throw SHViTError(
                "\(folder.lastPathComponent) belongs to another artifact, \(goldens.artifactSha256.prefix(12))….",
                why: "This one is \(artifact.prefix(12))….", next: Self.again)
        }
    }

    /// An encoded picture, a JPEG.
    func picture(of image: Goldens.Image) throws(SHViTError) -> Data {
        try bytes(of: image.image, sha256: image.imageSha256)
    }

    /// What preprocessing made of it where the artifact was exported.
    func pixels(of image: Goldens.Image) throws(SHViTError) -> RGBImage {
        let bytes = try bytes(of: image.pixels, sha256: image.pixelsSha256)
        return try RGBImage(
            height: goldens.preprocessing.size[0], width: goldens.preprocessing.size[1], bytes: [UInt8](bytes))
    }

    private func bytes(of name: String, sha256: String) throws(SHViTError) -> Data {
        let data: Data
        do { data = try Data(contentsOf: folder.appending(path: name)) } catch {
            throw SHViTError(
                "The golden \(name) cannot be read: \(error.localizedDescription)", why: Self.damaged, next: Self.again)
        }
        guard Fingerprint.sha256(of: data) == sha256 else {
            throw SHViTError("The golden \(name) is damaged.", why: Self.damaged, next: Self.again)
        }
        return data
    }
}

import Foundation

/// An artifact's goldens in their folder. A file whose SHA-256 differs from the list is rejected.
public struct GoldenSet: Sendable {
    /// The list of goldens.
    public let goldens: Goldens
    /// The folder with the files.
    public let folder: URL

    private static let damaged = "A golden must be exactly what was exported."
    private static let again = "Embed the model again: shvit-mobile embed ARTIFACT"

    /// Opens the goldens in a folder.
    ///
    /// - Parameters:
    ///   - folder: The folder `NAME.goldens`.
    ///   - artifact: The SHA-256 of the artifact that the goldens must belong to.
    /// - Throws: `SHViTError` if there are none, or they belong to another artifact.
    public init(folder: URL, of artifact: String) throws(SHViTError) {
        goldens = try Document<Goldens>(contentsOf: folder.appending(path: "goldens.json")).content
        self.folder = folder
        guard goldens.artifactSha256 == artifact else {
            throw SHViTError.artifactChanged(
                "\(folder.lastPathComponent) belongs to another artifact, \(goldens.artifactSha256.prefix(12))….",
                why: "This artifact is \(artifact.prefix(12))….", next: Self.again)
        }
    }

    /// Returns the encoded picture, a JPEG.
    func picture(of image: Goldens.Image) throws(SHViTError) -> Data {
        try bytes(of: image.image, sha256: image.imageSha256)
    }

    /// Returns the pixels stored when the artifact was exported.
    func pixels(of image: Goldens.Image) throws(SHViTError) -> RGBImage {
        let bytes = try bytes(of: image.pixels, sha256: image.pixelsSha256)
        return try RGBImage(
            height: goldens.preprocessing.size[0], width: goldens.preprocessing.size[1], bytes: [UInt8](bytes))
    }

    private func bytes(of name: String, sha256: String) throws(SHViTError) -> Data {
        let data: Data
        do { data = try Data(contentsOf: folder.appending(path: name)) } catch {
            throw SHViTError.artifactChanged(
                "The golden \(name) cannot be read: \(error.localizedDescription)", why: Self.damaged, next: Self.again)
        }
        guard Fingerprint.sha256(of: data) == sha256 else {
            throw SHViTError.artifactChanged("The golden \(name) is damaged.", why: Self.damaged, next: Self.again)
        }
        return data
    }
}

import Foundation

/// The models that `shvit-mobile embed` put into an app: a folder for each, named as its artifact without the ending.
public struct ModelStore: Sendable {
    /// Models, and what is wrong with folders that hold none.
    public struct Listing: Sendable {
        /// By name.
        public let models: [EmbeddedModel]
        /// An error for each folder that cannot be used.
        public let problems: [SHViTError]
    }

    /// What holds the folders.
    public let folder: URL

    /// A store of what is in a folder, such as `Models` in the app's bundle.
    public init(folder: URL) {
        self.folder = folder
    }

    /// All models of the store; one that is damaged does not hide the others.
    public func listing() -> Listing {
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder.path) else {
            let why = "\(folder.path) is not there."
            return Listing(models: [], problems: [SHViTError("There are no models.", why: why, next: Self.embed)])
        }
        var (models, problems): ([EmbeddedModel], [SHViTError]) = ([], [])
        for name in names.sorted() where !name.hasPrefix(".") && isFolder(name) {
            do { models.append(try EmbeddedModel(folder: folder.appending(path: name))) } catch {
                problems.append(error)
            }
        }
        return Listing(models: models, problems: problems)
    }

    private func isFolder(_ name: String) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: folder.appending(path: name).path, isDirectory: &isFolder)
            && isFolder.boolValue
    }

    static let embed = "Put models into the app: shvit-mobile embed --into ios_demo"
}

/// A model in an app: an artifact with its manifest, labels and goldens.
public struct EmbeddedModel: Sendable, Identifiable {
    /// The artifact's name without its ending; that of the folder.
    public let id: String
    /// Where its files are.
    public let folder: URL
    /// The artifact's.
    public let manifest: Manifest
    /// The classes' names: those of `labels.txt` where there is one, else the manifest's.
    public let labels: [String]

    /// The model in a folder.
    ///
    /// - Throws: `SHViTError` where its manifest cannot be read, the artifact is missing, or the labels do not fit.
    public init(folder: URL) throws(SHViTError) {
        let id = folder.lastPathComponent
        manifest = try Document<Manifest>(contentsOf: folder.appending(path: "\(id).manifest.json")).content
        labels = try Self.labels(in: folder) ?? manifest.labels
        self.id = id
        self.folder = folder
        guard FileManager.default.fileExists(atPath: artifact.path) else {
            throw SHViTError(
                "\(id) has no \(manifest.artifact.name).", why: "Its manifest names it.", next: ModelStore.embed)
        }
        guard labels.count == manifest.labels.count else {
            throw SHViTError(
                "\(id) has \(labels.count) labels for \(manifest.labels.count) classes.",
                why: "Every answer would have a wrong name.", next: ModelStore.embed)
        }
    }

    /// The file or package that a runtime loads.
    public var artifact: URL { folder.appending(path: manifest.artifact.name) }

    /// Proves that the artifact is the one that was exported; reads all of it.
    ///
    /// - Throws: `SHViTError` where it is another, since damaged weights load and run everywhere.
    public func verify() throws(SHViTError) {
        guard try Fingerprint.sha256(of: artifact) == manifest.artifact.sha256 else {
            throw SHViTError(
                "\(manifest.artifact.name) is not the artifact that its manifest describes.",
                why: "Damaged weights load and run like others.", next: ModelStore.embed)
        }
    }

    /// The artifact's goldens; nil where the manifest names none.
    ///
    /// - Throws: `SHViTError` where they are missing, damaged, or another artifact's.
    public func goldens() throws(SHViTError) -> GoldenSet? {
        guard let named = manifest.goldens else { return nil }
        let place = folder.appending(path: named.name)
        guard try Fingerprint.sha256(of: place) == named.sha256 else {
            throw SHViTError(
                "\(named.name) is not the folder of goldens that the manifest describes.",
                why: "A golden that is not what was exported proves nothing.", next: ModelStore.embed)
        }
        return try GoldenSet(folder: place, of: manifest.artifact.sha256)
    }

    /// One a line; nil where there is no such file.
    private static func labels(in folder: URL) throws(SHViTError) -> [String]? {
        let url = folder.appending(path: "labels.txt")
        guard FileManager.default.fileExists(atPath: url.path) else { return nil }
        guard let data = try? Data(contentsOf: url), let text = String(data: data, encoding: .utf8) else {
            throw SHViTError("\(folder.lastPathComponent)/labels.txt is not text.", next: ModelStore.embed)
        }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        return lines.last == "" ? lines.dropLast() : lines
    }
}

import Foundation

/// The models that `shvit-mobile embed` put into an app: one folder per model, named after its artifact.
public struct ModelStore: Sendable {
    /// The usable models, and the errors of the other folders.
    public struct Listing: Sendable {
        /// The models, sorted by name.
        public let models: [EmbeddedModel]
        /// An error for each unusable folder.
        public let problems: [SHViTError]
    }

    /// The folder that contains the models' folders.
    public let folder: URL

    /// Opens the models in a folder, such as `Models` in the app's bundle.
    public init(folder: URL) {
        self.folder = folder
    }

    /// The models in the folder `Models` of the app's bundle.
    public static var main: ModelStore { ModelStore(folder: Bundle.main.bundleURL.appending(path: "Models")) }

    /// Returns a model.
    ///
    /// - Parameter name: The folder's name, which is the artifact's name without suffix.
    /// - Throws: `modelNotEmbedded` if there is no such model; names those that the app has. `invalidDocument` or
    ///   `artifactChanged` if it is damaged.
    public func model(named name: String) throws(SHViTError) -> EmbeddedModel {
        guard !name.isEmpty, !name.hasPrefix("."), !name.contains("/"), isFolder(name) else {
            let names = listing().models.map(\.id).joined(separator: ", ")
            throw .modelNotEmbedded(
                "This app contains no model \(name).", why: names.isEmpty ? "It contains none." : "Models: \(names).",
                next: Self.embed)
        }
        return try EmbeddedModel(folder: folder.appending(path: name))
    }

    /// Returns all models. A damaged model does not hide the others.
    public func listing() -> Listing {
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder.path) else {
            let why = "\(folder.path) does not exist."
            return Listing(
                models: [],
                problems: [SHViTError.modelNotEmbedded("This app contains no models.", why: why, next: Self.embed)])
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

    package static let embed = "Embed the model: shvit-mobile embed ARTIFACT --into ios_demo"
}

/// A model in an app: an artifact with its manifest, labels and goldens.
public struct EmbeddedModel: Sendable, Identifiable {
    /// The artifact's name without its suffix, which is also the folder's name.
    public let id: String
    /// The folder with the model's files.
    public let folder: URL
    /// The artifact's manifest.
    public let manifest: Manifest
    /// The class names, from `labels.txt` if there is one, otherwise from the manifest.
    public let labels: [String]

    /// Opens the model in a folder.
    ///
    /// - Throws: `SHViTError` if the manifest cannot be read, the artifact is missing, or the labels do not match.
    public init(folder: URL) throws(SHViTError) {
        let id = folder.lastPathComponent
        manifest = try Document<Manifest>(contentsOf: folder.appending(path: "\(id).manifest.json")).content
        labels = try Self.labels(in: folder) ?? manifest.labels
        self.id = id
        self.folder = folder
        guard FileManager.default.fileExists(atPath: artifact.path) else {
            throw SHViTError.artifactChanged(
                "\(id) has no \(manifest.artifact.name).", why: "The manifest names this file.", next: ModelStore.embed)
        }
        guard labels.count == manifest.labels.count else {
            throw SHViTError.artifactChanged(
                "\(id) has \(labels.count) labels for \(manifest.labels.count) classes.",
                why: "Predictions would get wrong names.", next: ModelStore.embed)
        }
    }

    /// The file or package that a runtime loads.
    public var artifact: URL { folder.appending(path: manifest.artifact.name) }

    /// Verifies that the artifact is the one that was exported. Reads all of it.
    ///
    /// - Throws: `SHViTError` if it is not. A runtime would load and run damaged weights without an error.
    public func verify() throws(SHViTError) {
        guard try Fingerprint.sha256(of: artifact) == manifest.artifact.sha256 else {
            throw SHViTError.artifactChanged(
                "\(manifest.artifact.name) is not the artifact that its manifest describes.",
                why: "A runtime would load and run damaged weights without an error.", next: ModelStore.embed)
        }
    }

    /// Returns the artifact's goldens; nil if the manifest names none.
    ///
    /// - Throws: `SHViTError` if they are missing, damaged, or those of another artifact.
    public func goldens() throws(SHViTError) -> GoldenSet? {
        guard let named = manifest.goldens else { return nil }
        let place = folder.appending(path: named.name)
        guard try Fingerprint.sha256(of: place) == named.sha256 else {
            throw SHViTError.artifactChanged(
                "\(named.name) is not the folder of goldens that the manifest describes.",
                why: "A golden must be exactly what was exported.", next: ModelStore.embed)
        }
        return try GoldenSet(folder: place, of: manifest.artifact.sha256)
    }

    /// Returns the lines of `labels.txt`; nil if there is no such file.
    private static func labels(in folder: URL) throws(SHViTError) -> [String]? {
        let url = folder.appending(path: "labels.txt")
        guard FileManager.default.fileExists(atPath: url.path) else { return nil }
        guard let data = try? Data(contentsOf: url), let text = String(data: data, encoding: .utf8) else {
            throw SHViTError.artifactChanged(
                "\(folder.lastPathComponent)/labels.txt is not UTF-8 text.", next: ModelStore.embed)
        }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        return lines.last == "" ? lines.dropLast() : lines
    }
}

extension Manifest {
    /// Checks that a runtime can run the artifact: one picture at a time, as an image or as floats.
    ///
    /// - Throws: `unsupportedDocument` if it is for another runtime, or has another input.
    package func check(for target: Target) throws(SHViTError) {
        guard self.target == target else {
            throw .unsupportedDocument(
                "\(artifact.name) is for \(self.target.rawValue), not for \(target.rawValue).",
                next: "Load it with the runtime that it is for.")
        }
        let isKnown = input.kind == .image ? target == .coreml : input.dtype == "float32"
        guard isKnown, (0...1).contains(input.shape[0]) else {
            throw .unsupportedDocument(
                "The input of \(artifact.name) is \(input.shape[0]) pictures, as a \(input.kind.rawValue) of \(input.dtype).",
                why: "The app runs one picture at a time, as an image or a tensor of float32.",
                next: "Export the model again.")
        }
    }
}

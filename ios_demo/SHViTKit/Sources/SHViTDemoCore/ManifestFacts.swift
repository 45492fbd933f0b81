import Foundation
import SHViTKit

/// A section of a manifest as a screen shows it.
public struct ManifestFacts: Equatable, Identifiable, Sendable {
    /// A row.
    public struct Fact: Equatable, Identifiable, Sendable {
        /// The row's label.
        public let id: String
        /// The row's value.
        public let value: String
    }

    /// The section's heading.
    public let id: String
    /// The section's rows.
    public let facts: [Fact]

    private init(_ heading: String, _ facts: KeyValuePairs<String, String?>) {
        id = heading
        self.facts = facts.compactMap { name, value in value.map { Fact(id: name, value: $0) } }
    }

    /// Returns the sections of a manifest that a phone shows. Sections without rows are left out.
    public static func all(of manifest: Manifest, locale: Locale = .autoupdatingCurrent) -> [ManifestFacts] {
        let (artifact, model, pixels) = (manifest.artifact, manifest.model, manifest.preprocessing)
        let sections = [
            ManifestFacts(
                "Artifact",
                [
                    "Runtime": Wording.engine(manifest.target),
                    "Precision": manifest.precision.rawValue,
                    "Size": Wording.megabytes(artifact.bytes, locale: locale),
                    "SHA-256": "\(artifact.sha256.prefix(12))…",
                ]),
            ManifestFacts(
                "Model",
                [
                    "Task": Wording.task(manifest.task), "Variant": model.variant,
                    "Classes": manifest.task == .features ? nil : "\(model.classes)", "Checkpoint": model.source,
                ]),
            ManifestFacts(
                "Preprocessing",
                [
                    "Input size": pixels.size.map(String.init).joined(separator: " x "),
                    "Crop ratio": Wording.percent(pixels.cropRatio, locale: locale),
                    "Resizing": pixels.resizeMode.rawValue,
                    "Interpolation": pixels.interpolation.rawValue,
                    "Channel order": pixels.channelOrder.rawValue,
                    "Normalization": manifest.input.values == .pixels ? "inside the model" : "in the app",
                ]),
            ManifestFacts(
                "Drift from the float model",
                [
                    "Agreement": (manifest.drift?.agreement?.value).map { Wording.percent($0, locale: locale) },
                    "SQNR": (manifest.drift?.sqnrDb).map { Wording.decibels($0, locale: locale) },
                ]),
        ]
        return sections.filter { !$0.facts.isEmpty }
    }
}

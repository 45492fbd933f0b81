import Foundation
import SHViTKit

/// What a manifest tells a person, under headings.
public struct ManifestFacts: Equatable, Identifiable, Sendable {
    /// A line.
    public struct Fact: Equatable, Identifiable, Sendable {
        /// What it is about.
        public let id: String
        /// What is said of it.
        public let value: String
    }

    /// The heading.
    public let id: String
    /// Below it.
    public let facts: [Fact]

    private init(_ heading: String, _ facts: KeyValuePairs<String, String?>) {
        id = heading
        self.facts = facts.compactMap { name, value in value.map { Fact(id: name, value: $0) } }
    }

    /// Everything of a manifest that has a place on a phone's screen; headings without facts are left out.
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
                ["Variant": model.variant, "Classes": "\(model.classes)", "Checkpoint": model.source]),
            ManifestFacts(
                "Preprocessing",
                [
                    "Pixels": pixels.size.map(String.init).joined(separator: " x "),
                    "Kept by the crop": Wording.percent(pixels.cropRatio, locale: locale),
                    "Filter": pixels.interpolation.rawValue,
                    "Normalisation": manifest.input.values == .pixels ? "inside the model" : "in the app",
                ]),
            ManifestFacts(
                "Beside its float model",
                [
                    "Same class": (manifest.drift?.agreement.value).map { Wording.percent($0, locale: locale) },
                    "Signal to noise": (manifest.drift?.sqnrDb).map { Wording.decibels($0, locale: locale) },
                ]),
        ]
        return sections.filter { !$0.facts.isEmpty }
    }
}

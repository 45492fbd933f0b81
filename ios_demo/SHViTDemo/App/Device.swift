import Foundation
import SHViTDemoCore
import SHViTKit
import SHViTKitCoreML
import SHViTKitExecuTorch

/// This phone's models, runtimes, image decoder and description, for the rest of the app.
enum Device {
    /// The models that `shvit-mobile embed` put into the app.
    static let store = ModelStore.main

    /// Measures models on this phone.
    static let benchmark = Benchmark(probe: PhoneConditions(), decoder: decoder, sources: source(of:))

    /// Decodes an encoded image into an upright RGB picture.
    static let decoder: GoldenChecker.Decoder = { try RGBImage(decoding: $0) }

    /// The setting that large photos may be decoded at reduced scale.
    static let reducedScale = "reducedScale"

    /// Returns a decoder of photos for a model's preprocessing, at reduced scale if the setting allows it.
    static func photoDecoder(for preprocessing: Preprocessing) -> GoldenChecker.Decoder {
        let isAllowed = UserDefaults.standard.bool(forKey: reducedScale)
        return { try RGBImage(decoding: $0, reducedFor: isAllowed ? preprocessing : nil) }
    }

    /// Returns the source that loads a trial's model on the trial's processors.
    static func source(of trial: Trial) throws -> any RunnerSource {
        try trial.model.source(with: [.coreML(compute: trial.compute), .executorch])
    }

    /// Returns what the report says about the app and the phone at this moment.
    @MainActor
    static func about() -> Profiler.About {
        Profiler.About(
            name: "SHViTDemo", info: Bundle.main.infoDictionary ?? [:], device: .current,
            executorch: ExecuTorchSource.version)
    }
}

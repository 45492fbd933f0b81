import Foundation
import SHViTDemoCore
import SHViTKit
import SHViTKitExecuTorch

/// This phone, as the rest of the app needs it: models, runtimes, pictures, and what it is.
enum Device {
    /// What `shvit-mobile embed` put into the app.
    static let store = ModelStore(folder: Bundle.main.bundleURL.appending(path: "Models"))

    /// What measures on this phone.
    static let benchmark = Benchmark(probe: PhoneConditions(), decoder: decoder, sources: source(of:))

    /// Makes an upright RGB picture of an encoded one.
    static let decoder: GoldenChecker.Decoder = { try RGBImage(decoding: $0) }

    /// What a model is loaded from, on the trial's processors.
    static func source(of trial: Trial) throws -> any ClassifierSource {
        switch trial.model.manifest.target {
        case .coreml: try CoreMLSource(trial.model, compute: trial.compute)
        case .executorch: ExecuTorchSource(trial.model)
        case .onnx:
            throw SHViTError(
                "\(trial.model.id) is for ONNX Runtime.", why: "This app has Core ML and ExecuTorch.",
                next: "On the computer: shvit-mobile export --target coreml")
        }
    }

    /// What a report says of the app and the phone, now.
    @MainActor
    static func about() -> Profiler.About {
        Profiler.About(
            name: "SHViTDemo", info: Bundle.main.infoDictionary ?? [:], device: .current,
            executorch: ExecuTorchSource.version)
    }
}

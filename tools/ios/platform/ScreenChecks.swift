@_spi(Checks) import AVFoundation
@_spi(Checks) import CoreML
import Foundation
import SHViTDemoCore
import SHViTKitCoreML

@testable import SHViTKit

@MainActor let screenChecks: [Check] = [
    (
        "the camera's screen: the first launch, a frame, and leaving",
        {
            CameraSetup.current = CameraSetup()
            CameraSetup.current.authorization = .notDetermined
            let model = try appleModel(kind: .image, order: .rgb)
            let manifest = model.manifest
            let size = manifest.preprocessing.size
            ModelDefinition.current = ModelDefinition(
                input: manifest.input.name, output: manifest.output.names[0], image: (size[0], size[1])
            ) { values in (0..<10).map { values[$0] } }
            let live = LiveModel(
                sources: { try CoreMLSource($0.model, compute: $0.compute) }, isAllowed: Camera.isAllowed,
                open: { Camera() })
            let trial = Trial(model, compute: .all)
            let run = Task { await live.run(trial) }
            await wait("The camera's screen shows no camera.") { live.camera != nil }
            if let session = live.camera?.session { await deliver([scene], to: session) }
            await wait("The camera's screen shows no answer.") { live.answer != nil }
            expect(CameraSetup.current.questions == 1, "The person was not asked once.")
            expect(
                live.geometry?.placement == PicturePlacement(width: scene.width, height: scene.height),
                "The camera's screen shows the crop of another picture.")
            run.cancel()
            await run.value
            expect(AVCaptureSession.runningCount == 0, "The camera runs after its screen was left.")
            expect(live.camera == nil, "The preview keeps the camera after its screen was left.")
            CameraSetup.current = CameraSetup()
        }
    ),
    (
        "an alert over the app, and leaving the app",
        {
            expect(AppPhase.inactive.isOnScreen, "An alert stops the camera, also the question for permission.")
            expect(!AppPhase.background.isOnScreen, "A benchmark and the camera go on in the background.")
        }
    ),
]

"""Plants mistakes in the kit and in the app, one at a time, and checks that each of them is found.

    python tools/ios/mistakes.py

Mistakes of types are found by `typecheck.py`, mistakes of behavior by `run_platform.py`. It fails if a mistake is not
found or can no longer be planted. Run `typecheck.py` first: the app needs the kit's compiled interface.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import run_platform
from stub_modules import CompileFailed
from typecheck import BUILD, MODULES, SwiftModule, check_module

from shvit_mobile.errors import ShvitError

MODULES_BY_NAME = {module.name: module for module in MODULES}
KIT, CORE_ML, CORE, APP = (
    MODULES_BY_NAME[name] for name in ("SHViTKit", "SHViTKitCoreML", "SHViTDemoCore", "SHViTDemo")
)


@dataclass(frozen=True)
class Mistake:
    """A mistake to plant.

    Attributes:
        what: A description.
        source: The source, relative to the module's folder.
        right: The correct text, which occurs once.
        wrong: The text that replaces it.
        module: The module.
    """

    what: str
    source: str
    right: str
    wrong: str
    module: SwiftModule = KIT


# Found by the type check.
TYPE_MISTAKES = (
    Mistake("a property that does not exist", "CoreMLSource.swift", ".computeUnits = ", ".computeUnit = ", CORE_ML),
    Mistake(
        "a missing await",
        "CoreMLSource.swift",
        "loaded = try await MLModel.load(",
        "loaded = try MLModel.load(",
        CORE_ML,
    ),
    Mistake(
        "a wrong enumeration case",
        "CoreMLSource.swift",
        "case .cpuAndNeuralEngine: .cpuAndNeuralEngine",
        "case .cpuAndNeuralEngine: .cpuAndANE",
        CORE_ML,
    ),
    Mistake("a misspelled method", "CoreMLRunner.swift", ".shapedArrayValue(of:", ".shapedArrayValues(of:", CORE_ML),
    Mistake(
        "a wrong argument type",
        "CoreMLRunner.swift",
        "pixelBuffer: try buffers.buffer(of: picture)",
        "pixelBuffer: picture",
        CORE_ML,
    ),
    Mistake(
        "a missing argument",
        "Apple/Decoding.swift",
        "CGImageSourceCreateImageAtIndex(source, 0, options as CFDictionary)",
        "CGImageSourceCreateImageAtIndex(source, 0)",
    ),
    Mistake(
        "UIKit away from the main actor",
        "Apple/PhoneConditions.swift",
        "@MainActor\n        private static func battery()",
        "private static func battery()",
    ),
    Mistake(
        "a case that is not handled", "Apple/PhoneConditions.swift", "            case .serious: self = .serious\n", ""
    ),
    Mistake(
        "an optional that is not unwrapped",
        "Apple/Decoding.swift",
        "try self.init(image, orientation: CGImage",
        "try self.init(picture.cgImage, orientation: CGImage",
    ),
    Mistake(
        "a shared value that is not safe to send",
        "CoreMLRunner.swift",
        "Runner, @unchecked Sendable",
        "Runner",
        CORE_ML,
    ),
    Mistake("a missing import", "Apple/Decoding.swift", "    import ImageIO\n", ""),
    Mistake(
        "a value without a binding",
        "Catalog/CatalogScreen.swift",
        "selection: $catalog.chosenName",
        "selection: catalog.chosenName",
        APP,
    ),
    Mistake("a modifier that does not exist", "Photo/PhotoScreen.swift", ".scaledToFit()", ".scaleToFit()", APP),
    Mistake(
        "a screen's task without await",
        "Camera/CameraScreen.swift",
        "await model.run(trial)",
        "model.run(trial)",
        APP,
    ),
    Mistake(
        "camera frames isolated to the main actor",
        "Camera/Camera.swift",
        "final class Camera: NSObject, CameraFeed, @unchecked Sendable",
        "@MainActor final class Camera: NSObject, CameraFeed",
        APP,
    ),
    Mistake(
        "an unguarded use of a newer iOS",
        "CoreMLSource.swift",
        "            guard #available(iOS 17.4, macOS 14.4, *) else { return nil }\n",
        "",
        CORE_ML,
    ),
)


# Found when the code runs.
PLATFORM_MISTAKES = (
    Mistake("RGBA for BGRA in a frame", "Apple/CameraFrame.swift", "layout: .bgra", "layout: .rgba"),
    Mistake(
        "RGBA for BGRA asked of the camera",
        "Camera/Camera.swift",
        "kCVPixelFormatType_32BGRA",
        "kCVPixelFormatType_32RGBA",
        APP,
    ),
    Mistake(
        "width x 4 for bytesPerRow",
        "Apple/CameraFrame.swift",
        "let bytesPerRow = CVPixelBufferGetBytesPerRow(buffer)",
        "let bytesPerRow = width * 4",
    ),
    Mistake("270 for 90 degrees", "CameraControl.swift", "case 90: 1", "case 270: 1", CORE),
    Mistake(
        "a camera that turns frames by 270 degrees",
        "Camera/Camera.swift",
        "connection.videoRotationAngle = 0",
        "connection.videoRotationAngle = 270",
        APP,
    ),
    Mistake("a turn in the wrong direction", "CameraControl.swift", "case 0: 6", "case 0: 8", CORE),
    Mistake(
        "a camera that is never stopped",
        "Camera/Camera.swift",
        "            session.stopRunning()\n            end()",
        "            end()",
        APP,
    ),
    Mistake(
        "a camera that is stopped twice",
        "Camera/Camera.swift",
        "            session.stopRunning()\n            end()",
        "            session.stopRunning()\n            session.stopRunning()\n            end()",
        APP,
    ),
    Mistake(
        "a buffer that is unlocked before it is read",
        "Apple/CameraFrame.swift",
        "defer { CVPixelBufferUnlockBaseAddress(buffer, .readOnly) }",
        "CVPixelBufferUnlockBaseAddress(buffer, .readOnly)",
    ),
    Mistake(
        "startRunning on the main thread, and frames on the main queue",
        "Camera/Camera.swift",
        'DispatchQueue(label: "camera")',
        "DispatchQueue.main",
        APP,
    ),
    Mistake(
        "frames on the main queue",
        "Camera/Camera.swift",
        "setSampleBufferDelegate(self, queue: queue)",
        "setSampleBufferDelegate(self, queue: .main)",
        APP,
    ),
    Mistake(
        "a 32-bit product of rows and bytes",
        "Apple/CameraFrame.swift",
        "count: bytesPerRow * height)",
        "count: Int(Int32(truncatingIfNeeded: bytesPerRow * height)))",
    ),
    Mistake(
        "a 32-bit product of a plane's rows and bytes",
        "Apple/CameraFrame.swift",
        "count: CVPixelBufferGetBytesPerRowOfPlane(buffer, index) * CVPixelBufferGetHeightOfPlane(buffer, index))",
        "count: Int(Int32(CVPixelBufferGetBytesPerRowOfPlane(buffer, index))"
        " * Int32(CVPixelBufferGetHeightOfPlane(buffer, index))))",
    ),
    Mistake(
        "a 32-bit product of width and height",
        "Preprocessing/DecodingPlan.swift",
        "while divided(height, by: reduction) * divided(width, by: reduction) > mostPixels",
        "while Int32(truncatingIfNeeded: divided(height, by: reduction) * divided(width, by: reduction)) > mostPixels",
    ),
    Mistake(
        "a photo whose colors are converted",
        "Apple/Decoding.swift",
        "return (plain, device)",
        "_ = plain; return (image, device)",
    ),
    Mistake(
        "a photo at another reduced scale",
        "Apple/Decoding.swift",
        "[kCGImageSourceSubsampleFactor] = plan.reduction",
        "[kCGImageSourceSubsampleFactor] = 2 * plan.reduction",
    ),
    Mistake(
        "a 32-bit product while a row is copied",
        "Preprocessing/PictureMemory.swift",
        "(base + row * bytesPerRow + column * layout.stride)",
        "(base + Int(Int32(truncatingIfNeeded: row * bytesPerRow)) + column * layout.stride)",
    ),
    Mistake(
        "a buffer that is never locked",
        "Apple/CameraFrame.swift",
        "let result = CVPixelBufferLockBaseAddress(buffer, .readOnly)",
        "let result = kCVReturnSuccess",
    ),
    Mistake(
        "a buffer that is locked twice",
        "Apple/CameraFrame.swift",
        "let result = CVPixelBufferLockBaseAddress(buffer, .readOnly)",
        "CVPixelBufferLockBaseAddress(buffer, .readOnly)\n"
        "            let result = CVPixelBufferLockBaseAddress(buffer, .readOnly)",
    ),
    Mistake(
        "a buffer that is never unlocked",
        "Apple/CameraFrame.swift",
        "            defer { CVPixelBufferUnlockBaseAddress(buffer, .readOnly) }\n",
        "",
    ),
    Mistake(
        "a buffer that is locked for writing and unlocked as read-only",
        "Apple/CameraFrame.swift",
        "let result = CVPixelBufferLockBaseAddress(buffer, .readOnly)",
        "let result = CVPixelBufferLockBaseAddress(buffer, [])",
    ),
    Mistake(
        "a failed lock that is ignored",
        "Apple/CameraFrame.swift",
        "guard result == kCVReturnSuccess else",
        "guard result <= kCVReturnSuccess else",
    ),
    Mistake("a plane read for the other one", "Apple/CameraFrame.swift", "chroma: plane(1)", "chroma: plane(0)"),
    Mistake(
        "the bytes per row of the other plane",
        "Apple/CameraFrame.swift",
        "chromaBytesPerRow: CVPixelBufferGetBytesPerRowOfPlane(buffer, 1)",
        "chromaBytesPerRow: CVPixelBufferGetBytesPerRowOfPlane(buffer, 0)",
    ),
    Mistake(
        "U and V exchanged",
        "Preprocessing/PictureMemory.swift",
        "let (u, v) = (Int32(chroma[pair]) &- 128, Int32(chroma[pair &+ 1]) &- 128)",
        "let (v, u) = (Int32(chroma[pair]) &- 128, Int32(chroma[pair &+ 1]) &- 128)",
    ),
    Mistake(
        "full range for video range",
        "Apple/CameraFrame.swift",
        "isFullRange: format == .fullRange",
        "isFullRange: format != .fullRange",
    ),
    Mistake(
        "the matrix of BT.601 for that of BT.709",
        "Apple/CameraFrame.swift",
        "matrix == kCVImageBufferYCbCrMatrix_ITU_R_709_2 as String",
        "matrix == kCVImageBufferYCbCrMatrix_ITU_R_601_4 as String",
    ),
    Mistake(
        "height and width exchanged",
        "Apple/CameraFrame.swift",
        "(CVPixelBufferGetHeight(buffer), CVPixelBufferGetWidth(buffer))",
        "(CVPixelBufferGetWidth(buffer), CVPixelBufferGetHeight(buffer))",
    ),
    Mistake(
        "the orientation of a frame ignored",
        "Camera/Camera.swift",
        "CameraFrame(buffer, orientation: orientation)",
        "CameraFrame(buffer)",
        APP,
    ),
    Mistake("RGBA for BGRA for Core ML", "PixelBufferPool.swift", "layout: .bgra", "layout: .rgba", CORE_ML),
    Mistake(
        "width x 4 for bytesPerRow for Core ML",
        "PixelBufferPool.swift",
        "let bytesPerRow = CVPixelBufferGetBytesPerRow(buffer)",
        "let bytesPerRow = picture.width * 4",
        CORE_ML,
    ),
    Mistake(
        "a picture for Core ML that is locked for reading only",
        "PixelBufferPool.swift",
        "CVPixelBufferLockBaseAddress(buffer, [])",
        "CVPixelBufferLockBaseAddress(buffer, .readOnly)",
        CORE_ML,
    ),
    Mistake(
        "a picture for Core ML that stays locked",
        "PixelBufferPool.swift",
        "            defer { CVPixelBufferUnlockBaseAddress(buffer, []) }\n",
        "",
        CORE_ML,
    ),
    Mistake(
        "height and width exchanged for Core ML",
        "PixelBufferPool.swift",
        "kCVPixelBufferHeightKey as String: height",
        "kCVPixelBufferHeightKey as String: height + 1",
        CORE_ML,
    ),
    Mistake(
        "the model's order of colors for Core ML",
        "CoreMLRunner.swift",
        "channelOrder == .rgb ?",
        "channelOrder != .rgb ?",
        CORE_ML,
    ),
    Mistake(
        "one map for all names",
        "CoreMLRunner.swift",
        "answer.featureValue(for: name)",
        "answer.featureValue(for: manifest.output.names[0])",
        CORE_ML,
    ),
    Mistake(
        "a map that is not looked for",
        "CoreMLRunner.swift",
        "manifest.output.names.allSatisfy(",
        "manifest.output.names.contains(where: ",
        CORE_ML,
    ),
    Mistake(
        "the GPU for the Neural Engine",
        "CoreMLSource.swift",
        "case .cpuAndNeuralEngine: .cpuAndNeuralEngine",
        "case .cpuAndNeuralEngine: .cpuAndGPU",
        CORE_ML,
    ),
    Mistake(
        "left and right exchanged",
        "Preprocessing/Orientation.swift",
        "ofUIKit = [1, 3, 8, 6,",
        "ofUIKit = [1, 3, 6, 8,",
    ),
    Mistake(
        "RGBA and BGRA exchanged in a photo",
        "Apple/Decoding.swift",
        "? .gray : .rgba\n",
        "? .gray : .bgra\n",
    ),
    Mistake(
        "a permission alert that cancels the first run",
        "AppPhase.swift",
        "self != .background",
        "self == .active",
        CORE,
    ),
    Mistake("a benchmark that goes on in the background", "AppPhase.swift", "self != .background", "true", CORE),
    Mistake(
        "a camera that its screen never stops",
        "Screens/LiveModel.swift",
        "        await camera.stop()\n",
        "",
        CORE,
    ),
    Mistake("the front camera", "Camera/Camera.swift", "position: .back)", "position: .front)", APP),
    Mistake(
        "mirrored frames",
        "Camera/Camera.swift",
        "            connection.videoRotationAngle = 0\n",
        "            connection.videoRotationAngle = 0\n            connection.isVideoMirrored = true\n",
        APP,
    ),
    Mistake(
        "every frame kept for a slow reader",
        "Camera/Camera.swift",
        "of: CameraFrame.self, bufferingPolicy: .bufferingNewest(1)",
        "of: CameraFrame.self, bufferingPolicy: .unbounded",
        APP,
    ),
    Mistake(
        "observers that are never removed",
        "Camera/Camera.swift",
        "            observers.forEach(NotificationCenter.default.removeObserver)\n",
        "",
        APP,
    ),
    Mistake(
        "interruption and its end exchanged",
        "Camera/Camera.swift",
        "(AVCaptureSession.wasInterruptedNotification, .interruption)",
        "(AVCaptureSession.wasInterruptedNotification, .interruptionEnd)",
        APP,
    ),
    Mistake(
        "errors of the session that nobody observes",
        "Camera/Camera.swift",
        "            (AVCaptureSession.runtimeErrorNotification, .fault),\n",
        "",
        APP,
    ),
    Mistake(
        "an interrupted camera that does not resume",
        "Camera/Camera.swift",
        "case .resume: session.startRunning()",
        "case .resume: break",
        APP,
    ),
    Mistake(
        "another session's notifications",
        "Camera/Camera.swift",
        "forName: name, object: session,",
        "forName: name, object: nil,",
        APP,
    ),
    Mistake(
        "a session that starts before it is connected",
        "Camera/Camera.swift",
        "            observe()\n",
        "            observe()\n            session.startRunning()\n",
        APP,
    ),
    Mistake(
        "a configuration that is not committed",
        "Camera/Camera.swift",
        "        defer { session.commitConfiguration() }\n",
        "",
        APP,
    ),
    Mistake(
        "a connection that is asked for too early",
        "Camera/Camera.swift",
        "        session.addInput(input)\n",
        "        session.addInput(input)\n        _ = output.connection(with: .video)\n",
        APP,
    ),
    Mistake(
        "a camera opened without asking",
        "Camera/Camera.swift",
        "case .notDetermined: await AVCaptureDevice.requestAccess(for: .video)",
        "case .notDetermined: true",
        APP,
    ),
    Mistake(
        "frames that do not end when the camera stops",
        "Camera/Camera.swift",
        "        arrived.finish()\n",
        "",
        APP,
    ),
    Mistake(
        "late frames that are not discarded",
        "Camera/Camera.swift",
        "alwaysDiscardsLateVideoFrames = true",
        "alwaysDiscardsLateVideoFrames = false",
        APP,
    ),
)


def plant(mistake: Mistake, target: Path) -> Path:
    """Write a source with a mistake to `target` and return the source.

    Raises:
        ValueError: If the correct text does not occur once.
    """
    source = mistake.module.folder / mistake.source
    text = source.read_text(encoding="utf-8")
    if text.count(mistake.right) != 1:
        raise ValueError(f"{mistake.source} contains {text.count(mistake.right)} times, not once: {mistake.right}")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text.replace(mistake.right, mistake.wrong), encoding="utf-8")
    return source


def check_types(mistake: Mistake, folder: Path) -> str | None:
    """Plant a mistake and return what the type check reports about that source; None for nothing."""
    sources = folder / "sources"
    for source in mistake.module.sources():
        copy = sources / source.relative_to(mistake.module.folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copy)
    path = sources / mistake.source
    plant(mistake, path)
    answer = check_module(replace(mistake.module, folder=sources), folder / "build")
    # A compiler that fails for another reason, such as a missing one, has not found the mistake.
    lines = (answer.stdout + answer.stderr).splitlines() if answer.returncode != 0 else []
    return next(
        (line.partition("error: ")[2] for line in lines if line.startswith(f"{path}:") and "error:" in line), None
    )


def check_behavior(mistake: Mistake, folder: Path, objects: Sequence[Path]) -> str | None:
    """Plant a mistake and return the first complaint when the code runs; None for nothing."""
    changed = folder / Path(mistake.source).name
    source = plant(mistake, changed)
    complaints = run_platform.find_complaints(list(objects), {source: changed}, folder)
    return complaints[0] if complaints else None


def find_all(folder: Path) -> list[tuple[Mistake, str | None]]:
    """Plant each mistake; return it with what was reported."""
    shutil.rmtree(folder, ignore_errors=True)
    objects = run_platform.build_all()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        places = (folder / str(number) for number in range(len(TYPE_MISTAKES) + len(PLATFORM_MISTAKES)))
        reports = [
            *((mistake, pool.submit(check_types, mistake, next(places))) for mistake in TYPE_MISTAKES),
            *((mistake, pool.submit(check_behavior, mistake, next(places), objects)) for mistake in PLATFORM_MISTAKES),
        ]
        return [(mistake, report.result()) for mistake, report in reports]


def main() -> None:
    try:
        reports = find_all(BUILD / "mistakes")
    except (CompileFailed, ShvitError, ValueError) as reason:
        print(f"error: {reason}", file=sys.stderr)
        sys.exit(2)
    for mistake, report in reports:
        print(f"found   {mistake.what}: {report}" if report else f"missed  {mistake.what}")
    missed = [mistake.what for mistake, report in reports if report is None]
    print(f"{len(reports) - len(missed)} of {len(reports)} planted mistakes are found.")
    if missed:
        sys.exit(f"error: The checks miss: {', '.join(missed)}.")


if __name__ == "__main__":
    main()

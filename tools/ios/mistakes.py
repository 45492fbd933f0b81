"""Plants mistakes in the kit and in the app, one at a time, and counts how many `typecheck.py` detects.

    python tools/ios/mistakes.py

It fails if fewer than 90% are detected, or if a mistake can no longer be planted. Run `typecheck.py` first: the app
needs the kit's compiled interface.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from typecheck import BUILD, MODULES, SwiftModule, check_module

from shvit_mobile.errors import ShvitError

MIN_FOUND_SHARE = 0.9
MODULES_BY_NAME = {module.name: module for module in MODULES}
KIT, CORE_ML, APP = (MODULES_BY_NAME[name] for name in ("SHViTKit", "SHViTKitCoreML", "SHViTDemo"))


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


MISTAKES = (
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
    Mistake(
        "a misspelled method", "CoreMLClassifier.swift", ".shapedArrayValue(of:", ".shapedArrayValues(of:", CORE_ML
    ),
    Mistake(
        "a wrong argument type",
        "CoreMLClassifier.swift",
        "pixelBuffer: try buffers.buffer(of: picture)",
        "pixelBuffer: picture",
        CORE_ML,
    ),
    Mistake(
        "a missing argument",
        "Apple/Decoding.swift",
        "CGImageSourceCreateImageAtIndex(source, 0, nil)",
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
        "CoreMLClassifier.swift",
        "Classifier, @unchecked Sendable",
        "Classifier",
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


def is_found(mistake: Mistake, folder: Path) -> bool:
    """Plant a mistake and return whether the check reports an error in that source.

    Args:
        mistake: The mistake.
        folder: The folder for a copy of the module, which is cleared first.

    Raises:
        ValueError: If the correct text does not occur once.
    """
    shutil.rmtree(folder, ignore_errors=True)
    sources = folder / "sources"
    for source in mistake.module.sources():
        copy = sources / source.relative_to(mistake.module.folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copy)
    path = sources / mistake.source
    text = path.read_text(encoding="utf-8")
    if text.count(mistake.right) != 1:
        raise ValueError(f"{mistake.source} contains {text.count(mistake.right)} times, not once: {mistake.right}")
    path.write_text(text.replace(mistake.right, mistake.wrong), encoding="utf-8")
    answer = check_module(replace(mistake.module, folder=sources), folder / "build")
    lines = (answer.stdout + answer.stderr).splitlines()
    # A compiler that fails for another reason, such as a missing one, has not detected the mistake.
    return answer.returncode != 0 and any(line.startswith(f"{path}:") and "error:" in line for line in lines)


def main() -> None:
    try:
        found = [is_found(mistake, BUILD / "mistake") for mistake in MISTAKES]
    except (ShvitError, ValueError) as reason:
        print(f"error: {reason}", file=sys.stderr)
        sys.exit(2)
    for mistake, is_one in zip(MISTAKES, found, strict=True):
        print(f"{'detected' if is_one else 'missed  '}  {mistake.what}")
    print(f"{sum(found)} of {len(found)} planted mistakes are detected; at least {MIN_FOUND_SHARE:.0%} must be.")
    if sum(found) < MIN_FOUND_SHARE * len(found):
        sys.exit("error: The check detects too few mistakes.")


if __name__ == "__main__":
    main()

"""Plants mistakes in the kit and in the app, one at a time, and counts how many `typecheck.py` finds.

    python tools/ios/mistakes.py

It fails where fewer than nine of ten are found, or where a mistake can no longer be planted. Both pass as they are, and
the app needs what the kit has left: run `typecheck.py` before.
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
KIT, APP = MODULES_BY_NAME["SHViTKit"], MODULES_BY_NAME["SHViTDemo"]


@dataclass(frozen=True)
class Mistake:
    """Something that a person could have written.

    Attributes:
        what: in words.
        source: in which, below the module's folder.
        right: what stands there, once.
        wrong: what is planted.
        module: in which.
    """

    what: str
    source: str
    right: str
    wrong: str
    module: SwiftModule = KIT


MISTAKES = (
    Mistake("a property that does not exist", "Apple/CoreMLSource.swift", ".computeUnits = ", ".computeUnit = "),
    Mistake(
        "a missing await",
        "Apple/CoreMLSource.swift",
        "loaded = try await MLModel.load(",
        "loaded = try MLModel.load(",
    ),
    Mistake(
        "a wrong enumeration case",
        "Apple/CoreMLSource.swift",
        "case .cpuAndNeuralEngine: .cpuAndNeuralEngine",
        "case .cpuAndNeuralEngine: .cpuAndANE",
    ),
    Mistake("a misspelled method", "Apple/CoreMLClassifier.swift", ".shapedArrayValue(of:", ".shapedArrayValues(of:"),
    Mistake(
        "a wrong argument type",
        "Apple/CoreMLClassifier.swift",
        "pixelBuffer: try picture.pixelBuffer()",
        "pixelBuffer: picture",
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
        "Apple/CoreMLClassifier.swift",
        "Classifier, @unchecked Sendable",
        "Classifier",
    ),
    Mistake("a missing import", "Apple/Decoding.swift", "    import ImageIO\n", ""),
    Mistake(
        "a value that a screen cannot bind to",
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
        "the camera's frames for the main actor alone",
        "Camera/Camera.swift",
        "final class Camera: NSObject, @unchecked Sendable",
        "@MainActor final class Camera: NSObject",
        APP,
    ),
    Mistake(
        "what only a newer iOS has, unguarded",
        "Apple/CoreMLSource.swift",
        "            guard #available(iOS 17.4, macOS 14.4, *) else { return nil }\n",
        "",
    ),
)


def is_found(mistake: Mistake, folder: Path) -> bool:
    """Whether the check finds a mistake in the source in which it is planted.

    Args:
        folder: for the module with the mistake, which is written anew.

    Raises:
        ValueError: what is to be replaced does not stand there once.
    """
    shutil.rmtree(folder, ignore_errors=True)
    sources = folder / "sources"
    for source in mistake.module.sources():
        copy = sources / source.relative_to(mistake.module.folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copy)
    place = sources / mistake.source
    text = place.read_text()
    if text.count(mistake.right) != 1:
        raise ValueError(f"{mistake.source} has {text.count(mistake.right)} times, not once: {mistake.right}")
    place.write_text(text.replace(mistake.right, mistake.wrong))
    answer = check_module(replace(mistake.module, folder=sources), folder / "build")
    lines = (answer.stdout + answer.stderr).splitlines()
    # A compiler that fails for another reason, as one that is not there, has found nothing.
    return answer.returncode != 0 and any(line.startswith(f"{place}:") and "error:" in line for line in lines)


def main() -> None:
    try:
        found = [is_found(mistake, BUILD / "mistake") for mistake in MISTAKES]
    except (ShvitError, ValueError) as reason:
        print(f"error: {reason}", file=sys.stderr)
        sys.exit(2)
    for mistake, is_one in zip(MISTAKES, found, strict=True):
        print(f"{'found ' if is_one else 'missed'}  {mistake.what}")
    print(f"{sum(found)} of {len(found)} planted mistakes are found; at least {MIN_FOUND_SHARE:.0%} have to be.")
    if sum(found) < MIN_FOUND_SHARE * len(found):
        sys.exit("error: The check finds too few mistakes.")


if __name__ == "__main__":
    main()

"""Checks that an app can depend on a version of the Swift package, as SwiftPM reads its manifest on a Mac.

    python tools/ios/check_package.py

SwiftPM refuses a version of a package that depends on a branch or sets unsafe compiler flags, and a binary target
without a checksum. Linux leaves ExecuTorch's targets out, so the check evaluates a copy of the manifest with them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import swift

from shvit_mobile.errors import ShvitError

BUILD = swift.REPOSITORY / "build" / "ios-manifest"
MAC_ONLY = "#if os(macOS)"
CHECKSUM = re.compile(r"[0-9a-f]{64}")


def read_manifest() -> dict[str, Any]:
    """Return the manifest as SwiftPM describes it, as on a Mac.

    Raises:
        ValueError: If the manifest has no part for the Mac, or SwiftPM rejects it.
    """
    text = (swift.REPOSITORY / "Package.swift").read_text(encoding="utf-8")
    if text.count(MAC_ONLY) != 1:
        raise ValueError(f"Package.swift contains '{MAC_ONLY}' {text.count(MAC_ONLY)} times, not once.")
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / "Package.swift").write_text(text.replace(MAC_ONLY, "#if true"), encoding="utf-8")
    command = ["swift", "package", "--package-path", str(BUILD), "dump-package"]
    result = subprocess.run(swift.build_command(command), capture_output=True, text=True, check=False, encoding="utf-8")
    if result.returncode != 0:
        raise ValueError(f"SwiftPM rejects Package.swift: {result.stderr.strip()}")
    content: dict[str, Any] = json.loads(result.stdout)
    return content


def find_problems(manifest: dict[str, Any]) -> Iterator[str]:
    """Yield a sentence for each reason why no app could depend on a version of the package."""
    for dependency in manifest["dependencies"]:
        yield f"The package depends on another one, {json.dumps(dependency)}, which may be no version."
    targets = {target["name"]: target for target in manifest["targets"]}
    for name, target in targets.items():
        if "unsafeFlags" in json.dumps(target["settings"]):
            yield f"{name} sets unsafe flags."
        if target["type"] == "binary":
            if not target.get("url", "").startswith("https://") or not CHECKSUM.fullmatch(target.get("checksum", "")):
                yield f"{name} has no address with a checksum."
        elif not (swift.REPOSITORY / Path(target["path"])).is_dir():
            yield f"{name} is in {target['path']}, which does not exist."
    if targets["SHViTKit"]["dependencies"]:
        yield "SHViTKit depends on another target."
    offered = {product["name"] for product in manifest["products"]}
    for name in sorted({"SHViTKit", "SHViTKitCoreML", "SHViTKitExecuTorch"} - offered):
        yield f"There is no product {name}."


def main() -> None:
    try:
        problems = list(find_problems(read_manifest()))
    except (ShvitError, ValueError) as reason:
        print(f"error: {reason}", file=sys.stderr)
        sys.exit(2)
    for problem in problems:
        print(f"error: Package.swift: {problem}", file=sys.stderr)
    if problems:
        sys.exit(1)
    print("Package.swift: an app can depend on a version of it")


if __name__ == "__main__":
    main()

"""Installs the wheels into an environment and runs the program there, far from the source tree.

    python tools/check_wheel.py build/wheels build/wheel-env

The environment already has PyTorch. First it gets `shvit-mobile-core[onnx]`: ONNX is exported and run, and commands
that need another target name what is missing. Then it gets `shvit-mobile`, and every target is exported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Folders with code, and where the wheel has them.
PACKAGES = {"shvit_mobile": "shvit_mobile", "cli": "shvit_mobile/cli", "schemas": "shvit_mobile/schemas"}
# What belongs to the source tree alone.
LEFT_OUT = ("fixtures/", "vectors/")
MISSING = {"executorch": "executorch is not installed", "coreml": "coremltools is not installed"}


class WheelFault(Exception):
    """Something that a wheel lacks, or that does not run from it."""


def main(wheels: Path, environment: Path) -> None:
    wheels = wheels.resolve()
    (core,) = wheels.glob("shvit_mobile_core-*.whl")
    check_contents(core)
    with TemporaryDirectory() as folder:
        installed = Installation(environment / "bin", Path(folder))
        installed.install(f"{core}[onnx]")
        check_partial(installed)
        installed.install("shvit-mobile", "--find-links", str(wheels))
        check_complete(installed)
    print(f"{core.name} runs with ONNX alone, and with everything.")


def check_contents(wheel: Path) -> None:
    """Raise `WheelFault` unless the wheel has every file of the packages that git has."""
    listed = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, check=True, encoding="utf-8"
    ).stdout.splitlines()
    expected = set()
    for path in listed:
        folder, _, rest = path.partition("/")
        if not rest.startswith(LEFT_OUT):
            expected.add(f"{PACKAGES[folder]}/{rest}")
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    if found != expected:
        raise WheelFault(f"{wheel.name} differs from the source tree: {', '.join(sorted(found ^ expected)[:10])}.")


class Installation:
    """An environment whose programs run in another folder, and see nothing of this repository."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder = programs.absolute(), folder
        hidden = ("PYTHONPATH", "VIRTUAL_ENV")
        self.variables = {name: value for name, value in os.environ.items() if name not in hidden}

    def install(self, *arguments: str) -> None:
        command = [str(self.programs / "python"), "-m", "pip", "install", "--quiet", *arguments]
        subprocess.run(command, cwd=self.folder, env=self.variables, check=True)

    def call(self, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run `shvit-mobile`; raise `WheelFault` if it ends with another status."""
        command = [str(self.programs / "shvit-mobile"), *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.variables, capture_output=True, check=False, encoding="utf-8"
        )
        if done.returncode != status:
            raise WheelFault(f"{' '.join(arguments)} ended with {done.returncode}, not {status}:\n{done.stderr}")
        return done

    def read_json(self, *arguments: str) -> Any:
        return json.loads(self.call(*arguments, "--json").stdout)


def check_partial(installed: Installation) -> None:
    """Export and run ONNX; see what the other targets say."""
    checks = {check["name"]: check["found"] for check in installed.read_json("doctor")["checks"]}
    require(checks["executorch"].startswith("optional, not installed"), f"doctor says {checks['executorch']}")
    result = installed.read_json("export", "--target", "all", "--quantize", "fp32", "--out", "partial")
    require([one["manifest"]["target"] for one in result["artifacts"]] == ["onnx"], f"exported {result['artifacts']}")
    for said in MISSING.values():
        require(any(said in note for note in result["notes"]), f"no note says that {said}")
    for target, said in MISSING.items():
        errors = installed.call("export", "--target", target, "--out", "none", status=2).stderr
        require(said in errors and "pip install" in errors, f"{target}: {errors}")


def check_complete(installed: Installation) -> None:
    """Export every target."""
    require(installed.read_json("doctor")["good"], "doctor finds a fault")
    result = installed.read_json("export", "--target", "all", "--quantize", "fp32", "--out", "complete")
    targets = {one["manifest"]["target"] for one in result["artifacts"]}
    require(targets == {"coreml", "executorch", "onnx"}, f"exported {targets}")


def require(condition: bool, said: str) -> None:
    if not condition:
        raise WheelFault(said)


if __name__ == "__main__":
    try:
        main(*map(Path, sys.argv[1:]))
    except WheelFault as fault:
        sys.exit(f"error: {fault}")

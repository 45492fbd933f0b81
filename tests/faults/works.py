"""Commands that write, and what their outputs have to be whenever they end."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shvit_mobile.contracts.manifest import TARGET_SUFFIXES
from tests.faults.conftest import collect_result
from tests.faults.kinds import Command
from tests.faults.processes import Ending, run_command
from tests.faults.world import ARTIFACTS, MODEL, STEMS, copy_world

_RECORD = "android_app/app/src/main/assets/models/embedded.json"


@dataclass(frozen=True)
class Work:
    """A command that writes.

    Attributes:
        command: What runs.
        again: What runs after it was ended.
        find_part: Returns what is there only in part.
    """

    command: Command
    again: Command
    find_part: Callable[[Path, Any], str | None]


@dataclass
class Course:
    """How a work goes when nothing ends it: its seconds, the number of its renames, and its result."""

    seconds: float
    renames: int
    ended: Ending
    result: Any = field(repr=False)


def _find_part_of_sets(folder: Path, result: Any) -> str | None:
    """Return a set with a manifest that is not whole, or an artifact in part."""
    whole = result[2]
    for manifest in sorted((folder / "new").glob("*.manifest.json")):
        stem = manifest.name.removesuffix(".manifest.json")
        artifact = next((manifest.with_name(stem + suffix) for suffix in TARGET_SUFFIXES.values()
                         if manifest.with_name(stem + suffix).exists()), None)  # fmt: skip
        if artifact is None:
            return f"{manifest.name} without its artifact"
        ended = run_command(("inspect", artifact, "--goldens", "--json"), folder)
        if ended.status != 0 or not manifest.with_name(f"{stem}.recipe.json").exists():
            return f"{manifest.name} of a set that is not whole: {ended.stderr}"
    for path in (folder / "new").rglob("*"):
        name = path.relative_to(folder).as_posix()
        is_output = path.is_file() and ".shvit-" not in name and path.suffix != ".json"
        if is_output and hashlib.sha256(path.read_bytes()).hexdigest() != whole.get(name):
            return f"{name} in part"
    return None


def _find_part_of_files(folder: Path, result: Any) -> str | None:
    """Return a document or page that is cut short."""
    del result
    for path in folder.glob("new*"):
        files = [path] if path.is_file() else [file for file in path.glob("*") if file.is_file()]
        for file in files:
            text = file.read_bytes()
            try:
                whole = text.rstrip().endswith(b"</html>") if file.suffix == ".html" else bool(json.loads(text))
            except ValueError:
                whole = file.suffix == ".safetensors" and len(text) > 1000
            if not whole:
                return f"{file.name} in part"
    return None


def _find_part_of_app(folder: Path, result: Any) -> str | None:
    """Return a model that the record of the app names and that is there in part.

    Between the old and the new one there is a moment without either; the next run, or --undo, needs neither.
    """
    del result
    record = folder / _RECORD
    if not record.exists():
        return None
    for model in json.loads(record.read_text(encoding="utf-8"))["models"]:
        place = record.parent / model["name"]
        for name, known in model["files"].items() if place.exists() else ():
            file = place / name
            if not file.exists() or hashlib.sha256(file.read_bytes()).hexdigest() != known:
                return f"{file.name} of the embedded {model['name']}"
    return None


def _export(target: str, *more: str) -> Work:
    command = ("export", *MODEL, "--target", target, *more, "--out", "new")
    return Work(command, (*command, "--overwrite"), _find_part_of_sets)


_INT8 = ("--quantize", "int8", "--calibration", "pictures")
_CALIBRATE = ("calibrate", "pictures", *MODEL, "--no-sensitivity", "--out", "new", "--cache", "cache")
_REPORT = ("report", "set", "drift.json", "device.json", "--out", "new.html", "--json-out", "new.json")
_EMBED = ("embed", ARTIFACTS["executorch-int8"], "--into", "android_app", "--overwrite")
WORKS = {
    "export onnx": _export("onnx", *_INT8),
    "export coreml": _export("coreml", "--quantize", "fp16"),
    "export again": _export("onnx", *_INT8, "--overwrite"),
    "calibrate": Work(_CALIBRATE, (*_CALIBRATE, "--overwrite"), _find_part_of_files),
    "report": Work(_REPORT, (*_REPORT, "--overwrite"), _find_part_of_files),
    "embed": Work(_EMBED, _EMBED, _find_part_of_app),
}


def prepare_folder(world: Path, folder: Path, name: str) -> Path:
    """Copy the inputs; for "export again" an older set of another model is there."""
    copy_world(world, folder)
    if name == "export again":
        (folder / "new").mkdir()
        for path in folder.glob(f"{STEMS['onnx-int8']}.*"):
            copy = shutil.copytree if path.is_dir() else shutil.copy2
            copy(path, folder / "new" / path.name)
    return folder


def count_renames(counted: Path, end: Callable[[int], None] = lambda number: None) -> Callable[[], None]:
    """Return what makes a process write down the number of its renames, and call `end` before each."""

    def prepare() -> None:
        number = 0

        def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
            def rename(*args: Any, **more: Any) -> Any:
                nonlocal number
                end(number)
                number += 1
                counted.write_text(str(number), encoding="utf-8")
                return original(*args, **more)

            return rename

        os.rename, os.replace = wrap(os.rename), wrap(os.replace)

    return prepare


def follow_course(world: Path, folder: Path, name: str) -> Course:
    """Run a work to its end."""
    import time

    prepare_folder(world, folder, name)
    counted = folder.parent / f"{folder.name}.renames"
    counted.write_text("0", encoding="utf-8")
    start = time.monotonic()
    ended = run_command(WORKS[name].command, folder, prepare=count_renames(counted))
    seconds = time.monotonic() - start
    result = collect_result(ended, folder)
    shutil.rmtree(folder)
    return Course(seconds, int(counted.read_text(encoding="utf-8")), ended, result)


def find_staging(folder: Path) -> list[str]:
    """Return temporary folders of the program."""
    return [path.relative_to(folder).as_posix() for path in folder.rglob(".shvit-*")]

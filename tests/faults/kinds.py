"""The kinds of files that users bring: what damages one, which commands read it, and when another answer is right."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from tests.faults.damage import (
    Damage,
    damage_bytes,
    damage_folder,
    damage_json,
    damage_numbers,
    damage_tensors,
    mostly,
    vouch,
)
from tests.faults.world import ARTIFACTS, CHECKPOINT, LABELS, MODEL, PTH, RUNNABLE, STEMS

Command = tuple[str, ...]
Commands = tuple[Command, ...]
_DRIFT = ("--images", "pictures", "--json")
_VALIDATE_TABLE = (
    *("validate", ARTIFACTS["onnx-int8"], *MODEL, "--json"),
    *("--images", "flat", "--labels-csv", "labels.csv"),
)
# The apps that take them; this iOS app does not link the other delegates.
_APPS = {
    "coreml-fp16": ("ios_app",),
    "coreml-int8": ("ios_app",),
    "executorch-int8": ("ios_app", "android_app"),
}


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        cases: How many files of this kind are damaged.
        pick: Chooses the file, relative to the world, and the commands that read it.
        damage: Damages the file.
        is_other_input: Whether the damaged file is a sound input of its own, of which nobody can know that it was
            another one before: a picture, a table of labels, a phone's report, an artifact whose manifest was changed
            with it. It gets the file and what was done. A command may then answer for that input. None: the file
            carries checksums or has a second witness, so every change must be noticed.
    """

    cases: int
    pick: Callable[[Random], tuple[str, Commands]]
    damage: Damage
    is_other_input: Callable[[Path, str], bool] | None = None


def _read_artifact(name: str) -> Commands:
    """Return the commands that read an artifact and what lies beside it."""
    path = ARTIFACTS[name]
    return (
        *_open_artifact(name),
        ("report", path, "--out", "new.html", "--json-out", "new.json"),
        ("devices", "device.json", "--artifacts", path, "--json"),
        *(("embed", path, "--into", app, "--dry-run", "--overwrite", "--json") for app in _APPS.get(name, ())),
    )


def _open_artifact(name: str) -> Commands:
    """Return the commands that read the program itself, and those that run it."""
    path = ARTIFACTS[name]
    running = ("inspect", path, "--goldens", "--json"), ("validate", path, *MODEL, *_DRIFT)
    return ("inspect", path, "--json"), *(running if name in RUNNABLE else ())


def _beside(suffix: str, names: tuple[str, ...] = tuple(STEMS)) -> Callable[[Random], tuple[str, Commands]]:
    """Return what picks a file beside an artifact."""

    def pick(random: Random) -> tuple[str, Commands]:
        name = random.choice(names)
        return STEMS[name] + suffix, _read_artifact(name)

    return pick


def _list_artifact_kinds() -> dict[str, Kind]:
    """Return the kinds of artifacts: damaged by chance, and on purpose with a manifest that vouches for the damage."""
    kinds = {}
    for name, (cases, artifacts, damage) in _ARTIFACT_DAMAGES.items():
        if known := [artifact for artifact in artifacts if artifact in ARTIFACTS]:
            pick, open_one = (partial(_pick_artifact, known, read) for read in (_read_artifact, _open_artifact))
            kinds[name] = Kind(cases, pick, mostly(damage))
            kinds[f"{name} vouched for"] = Kind(cases, open_one, vouch(damage_numbers), lambda *_: True)
    return kinds


def _pick_artifact(names: list[str], read: Callable[[str], Commands], random: Random) -> tuple[str, Commands]:
    name = random.choice(names)
    return ARTIFACTS[name], read(name)


def _always(path: str, *commands: Command) -> Callable[[Random], tuple[str, Commands]]:
    return lambda _: (path, commands)


def _pick_picture(random: Random) -> tuple[str, Commands]:
    return f"flat/{random.randrange(14):04}.jpg", (
        _VALIDATE_TABLE,
        _export("--quantize", "int8", "--calibration", "flat", "--pass", "none"),
    )


def _export(*more: str, checkpoint: str = CHECKPOINT) -> Command:
    return ("export", "--checkpoint", checkpoint, "--target", "onnx", *more, "--out", "new", "--json")


def _read_checkpoint(path: str) -> Commands:
    inspect = ("inspect", path, "--json")
    if path == PTH:
        return inspect, _export("--labels", "labels.txt", "--size", "64x48", checkpoint=path)
    validate = ("validate", ARTIFACTS["onnx-int8"], "--checkpoint", path, *_DRIFT)
    return inspect, _export(checkpoint=path), validate


def _is_picture(path: Path, damage: str) -> bool:
    """Return whether Pillow decodes it; a picture that it cannot decode is skipped and reported."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError):
        return False
    return True


def _is_list_of_labels(path: Path, damage: str) -> bool:
    """Return whether it holds seven different, printable names."""
    try:
        text = path.read_bytes().decode("utf-8")
        names = json.loads(text) if path.suffix == ".json" else text.rstrip("\n").split("\n")
    except (OSError, ValueError):
        return False
    names = [str(name).strip() for name in names]
    return len(names) == 7 == len(set(names)) and all(names)


def _is_table(path: Path, damage: str) -> bool:
    """Return whether each row holds the name of a picture, once, and a label."""
    try:
        rows = list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8"))))
    except (OSError, ValueError, csv.Error):
        return False
    pictures = {picture.name for picture in (path.parent / "flat").iterdir()}
    body = [row for row in rows[1:] if row]
    files = [row[0].strip() for row in body if len(row) == 2 and row[1].strip() in LABELS]
    return len(files) == len(body) == len(set(files)) and set(files) <= pictures


def _holds_the_weights(path: Path, damage: str) -> bool:
    """Return whether an archive with other bytes around them holds the same weights; its SHA-256 is reported."""
    import torch
    from safetensors.torch import load_file

    state, known = torch.load(path, weights_only=True)["model"], load_file(path.with_name(CHECKPOINT))
    return state.keys() == known.keys() and all(torch.equal(state[name], known[name]) for name in known)


# What only the phone knows, which writes no checksum: nothing else tells whether it is right.
_ONLY_THE_PHONE_KNOWS = re.compile(
    r"(created|app|versions|device|conditions)\b|settings(: |\.)(threads|cpus|seed|warm_up)|results\.0(: |\.)("
    r"samples_ms\.\d+: |(compile|load|first)_ms|(peak|running)_memory_bytes|macs|roof_share|placement|"
    r"golden(: |\.)(images|sqnr_db|same_class|pixels_difference))"
)


def _is_phone_report(path: Path, damage: str) -> bool:
    """Return whether a fact was changed that only the phone knows, and the report still follows its schema."""
    return path.is_file() and _ONLY_THE_PHONE_KNOWS.match(damage) is not None


# How many of each are damaged.
_ARTIFACT_DAMAGES: dict[str, tuple[int, tuple[str, ...], Damage]] = {
    ".mlpackage": (60, ("coreml-fp16", "coreml-int8"), damage_folder),
    ".pte": (50, ("executorch-int8",), damage_bytes),
    ".pte for Core ML": (50, ("executorch-coreml-int8",), damage_bytes),
    ".pte for Vulkan": (30, ("executorch-vulkan-fp16",), damage_bytes),
    ".onnx": (50, ("onnx-fp32", "onnx-int8"), damage_bytes),
    ".tflite": (50, ("litert-int8",), damage_bytes),
    ".aimodel": (50, ("coreai-int8",), damage_folder),
}
KINDS: dict[str, Kind] = {
    "manifest": Kind(140, _beside(".manifest.json"), mostly(damage_json)),
    "recipe beside": Kind(50, _beside(".recipe.json"), mostly(damage_json)),
    "overrides beside": Kind(
        20, _beside(".recipe.safetensors", ("onnx-int8", "executorch-int8", "coreml-int8")), mostly(damage_tensors)
    ),
    "goldens": Kind(90, _beside(".goldens"), mostly(damage_folder)),
    **_list_artifact_kinds(),
    "recipe": Kind(
        80,
        _always("calibration/recipe.json", _export("--recipe", "calibration/recipe.json")),
        mostly(damage_json),
    ),
    "overrides": Kind(
        40,
        _always("calibration/recipe.safetensors", _export("--recipe", "calibration/recipe.json")),
        mostly(damage_tensors),
    ),
    "drift report": Kind(
        70, _always("drift.json", ("report", "set", "drift.json", "--out", "new.html", "--json-out", "new.json")),
        mostly(damage_json),
    ),
    "sensitivity report": Kind(
        50,
        _always(
            "calibration/sensitivity.json",
            ("report", "set", "calibration/sensitivity.json", "--out", "new.html", "--json-out", "new.json"),
        ),
        mostly(damage_json),
    ),
    "device report": Kind(
        80,
        _always(
            "device.json",
            ("devices", "device.json", "--artifacts", "set", "--json", "--csv", "new.csv"),
            ("report", "device.json", "set", "--out", "new.html", "--json-out", "new.json"),
        ),
        mostly(damage_json),
        _is_phone_report,
    ),
    "archive of reports": Kind(
        10, _always("share.zip", ("devices", "share.zip", "--artifacts", "set", "--json")), mostly(damage_bytes)
    ),
    "report": Kind(
        10, _always("report.json", ("report", "report.json", "--out", "new.html"), ("devices", "report.json")),
        mostly(damage_json),
    ),
    "checkpoint .safetensors": Kind(60, _always(CHECKPOINT, *_read_checkpoint(CHECKPOINT)), mostly(damage_tensors)),
    "checkpoint .pth": Kind(
        50, _always(PTH, *_read_checkpoint(PTH)), mostly(damage_bytes), _holds_the_weights
    ),
    "picture": Kind(30, _pick_picture, mostly(damage_bytes), _is_picture),
    "labels .txt": Kind(
        15, _always("labels.txt", _export("--labels", "labels.txt")), mostly(damage_bytes), _is_list_of_labels
    ),
    "labels .json": Kind(
        10, _always("labels.json", _export("--labels", "labels.json")), mostly(damage_bytes), _is_list_of_labels
    ),
    "table of labels": Kind(
        20,
        _always(
            "labels.csv",
            _VALIDATE_TABLE,
        ),
        mostly(damage_bytes),
        _is_table,
    ),
    "record of an app": Kind(
        15,
        _always(
            "android_app/app/src/main/assets/models/embedded.json",
            ("embed", "--undo", "--dry-run", "--into", "android_app", "--json"),
            ("embed", ARTIFACTS["executorch-int8"], "--dry-run", "--overwrite", "--into", "android_app", "--json"),
        ),
        mostly(damage_json),
    ),
}  # fmt: skip

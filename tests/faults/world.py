"""The undamaged inputs: one tiny trained model, what is exported from it, and every document about it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import zipfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from shvit_mobile.cache import get_cache_folder
from shvit_mobile.contracts.manifest import TARGET_SUFFIXES
from shvit_mobile.environments import ENVIRONMENTS
from shvit_mobile.families.shvit import SHViTConfig
from shvit_mobile.families.trained_model import TrainedModel
from tests.apps.builders import android_app, ios_app
from tests.builders import build_random_shvit, build_trained_model, write_picture_folder
from tests.faults.processes import run_command
from tests.fixtures import FIXTURES

LABELS = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu")
TINIEST = SHViTConfig(
    dims=(16, 24), partial_dims=(8, 9), qk_dims=(8, 8), depths=(1, 1), block_types=("i", "s"), classes=len(LABELS)
)
CHECKPOINT, PTH = "tiny.safetensors", "tiny.pth"
# What is exported, by the name of target, delegate and precision. What this machine has no converter for is left out.
_EXPORTS: dict[str, tuple[str, ...]] = {
    "onnx-fp32": (),
    "onnx-int8": (),
    "executorch-int8": (),
    "executorch-coreml-int8": ("--delegate", "coreml"),
    "executorch-vulkan-fp16": ("--delegate", "vulkan", "--allow-unproven"),
    "coreml-fp16": (),
    "coreml-int8": (),
    "litert-int8": (),
    "coreai-int8": (),
}
_CAN_CONVERT = {
    "litert": ENVIRONMENTS["litert"].is_installed and find_spec("ai_edge_litert") is not None,
    "coreai": find_spec("coreai_torch") is not None,
}
STEMS = {name: f"set/custom-64x48-{name}" for name in _EXPORTS if _CAN_CONVERT.get(name.split("-")[0], True)}
ARTIFACTS = {name: stem + TARGET_SUFFIXES[name.split("-")[0]] for name, stem in STEMS.items()}  # type: ignore[index]
RUNNABLE = tuple(name for name in STEMS if "vulkan" not in name)
MODEL = ("--checkpoint", CHECKPOINT)


def build_world(root: Path) -> None:
    """Write all inputs into a new folder."""
    import torch

    from shvit_mobile.families.checkpoints import save_checkpoint

    root.mkdir()
    trained = replace(build_trained_model(build_random_shvit(TINIEST, seed=1), size=(64, 48)), labels=LABELS)
    save_checkpoint(trained, root / CHECKPOINT)
    torch.save({"model": trained.model.state_dict()}, root / PTH)
    (root / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS), encoding="utf-8")
    (root / "labels.json").write_text(json.dumps(LABELS), encoding="utf-8")
    write_picture_folder(root / "flat", count=14)
    # The labels are the model's own answers; with this seed they are of four classes.
    labels = {path: LABELS[_predict(trained, path)] for path in sorted((root / "flat").iterdir())}
    for path, label in labels.items():
        (root / "pictures" / label).mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, root / "pictures" / label)
    with (root / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("file", "label"), *((path.name, label) for path, label in labels.items())])
    ios_app(root / "ios_app")
    android_app(root / "android_app")

    for name in STEMS:
        target, *_, precision = name.split("-")
        images = ("--calibration", "pictures") if precision == "int8" else ()
        options = ("--target", target, "--quantize", precision, *_EXPORTS[name], *images, "--out", "set")
        _run(root, "export", *MODEL, *options)
    _run(root, "validate", *map(ARTIFACTS.get, RUNNABLE), *MODEL, "--images", "pictures", "--out", "drift.json")
    _run(root, "calibrate", "pictures", *MODEL, "--out", "calibration", "--cache", "cache")
    shutil.rmtree(root / "cache")
    _write_device_report(root)
    _run(root, "report", "set", "drift.json", "device.json", "--out", "page.html", "--json-out", "report.json")
    _run(root, "embed", ARTIFACTS["executorch-int8"], "--into", "android_app")


def _predict(trained: TrainedModel, picture: Path) -> int:
    """Return the class that a model predicts for a picture."""
    import torch

    from shvit_mobile.images.decode import decode_image

    pixels = trained.preprocessing.preprocess_image(decode_image(picture))
    with torch.no_grad():
        logits = trained.model(torch.from_numpy(trained.preprocessing.normalize(pixels[None])))
    return int(logits.argmax())


def _run(root: Path, *args: str) -> None:
    cache = str(get_cache_folder().parent)
    # LiteRT's converter is in an environment of the cache.
    ended = run_command(args, root, prepare=lambda: os.environ.update(XDG_CACHE_HOME=cache))
    if ended.status != 0:
        raise RuntimeError(f"{' '.join(args)} ended with {ended.status}:\n{ended.stdout}\n{ended.stderr}")


def _write_device_report(root: Path) -> None:
    """Write a phone's report about one of the artifacts, and an archive of it."""
    report = json.loads((FIXTURES / "device_report" / "pixel-8.json").read_text(encoding="utf-8"))
    manifest = json.loads((root / f"{STEMS['executorch-int8']}.manifest.json").read_text(encoding="utf-8"))
    report["fixture"] = False
    report["results"] = report["results"][:1]
    report["results"][0] |= {
        "name": manifest["artifact"]["name"],
        "artifact_sha256": manifest["artifact"]["sha256"],
        "precision": "int8",
        "size_bytes": manifest["artifact"]["bytes"],
    }
    if report["results"][0].get("golden"):
        report["results"][0]["golden"]["tolerance"] = manifest["golden"]["tolerance"]
        report["results"][0]["golden"]["largest_difference"] = manifest["golden"]["tolerance"] / 2
    (root / "device.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    with zipfile.ZipFile(root / "share.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(root / "device.json", "device.json")


def copy_world(world: Path, folder: Path) -> Path:
    """Copy the inputs into a folder, as links: whoever changes a file writes a new one."""
    shutil.copytree(world, folder, symlinks=True, copy_function=os.link)
    return folder

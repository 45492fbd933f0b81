"""Writes a package so that the same model is the same bytes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

VENDOR = "com.apple.CoreML"
MODEL, WEIGHTS = f"{VENDOR}/model.mlmodel", f"{VENDOR}/weights"


def write(model: Any, weights: Path, path: Path) -> None:
    """Writes a package as coremltools lays it out, without what differs from run to run.

    coremltools gives random identifiers to the items, orders the maps in the model at random, and leaves a file of
    debug handles; here identifiers follow from the items' paths and maps are sorted.

    Args:
        model: the protobuf message (`Model.proto`).
        weights: the folder with its `weight.bin`.
        path: of the package, which must not exist.
    """
    data = path / "Data"
    (data / WEIGHTS).mkdir(parents=True)
    (data / MODEL).write_bytes(model.SerializeToString(deterministic=True))
    shutil.copyfile(weights / "weight.bin", data / WEIGHTS / "weight.bin")
    (path / "Manifest.json").write_text(json.dumps(manifest(), indent=4) + "\n")


def manifest() -> dict[str, Any]:
    items = {
        identifier(MODEL): {
            "author": VENDOR,
            "description": "CoreML Model Specification",
            "name": "model.mlmodel",
            "path": MODEL,
        },
        identifier(WEIGHTS): {
            "author": VENDOR,
            "description": "CoreML Model Weights",
            "name": "weights",
            "path": WEIGHTS,
        },
    }
    return {"fileFormatVersion": "1.0.0", "itemInfoEntries": items, "rootModelIdentifier": identifier(MODEL)}


def identifier(item: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"shvit-mobile:{item}")).upper()

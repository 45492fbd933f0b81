"""Write a package so that the same model gives the same bytes."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

_UNNAMED_VALUE = re.compile(r"(const|cast)_\d+")
_VENDOR = "com.apple.CoreML"
MODEL_ITEM, WEIGHTS_ITEM = f"{_VENDOR}/model.mlmodel", f"{_VENDOR}/weights"


def write_package(model: Any, weights: Path, path: Path) -> None:
    """Write a package in coremltools' layout, without what differs between runs.

    coremltools assigns random identifiers, orders maps at random, numbers unnamed values in varying order, and adds a
    file of debug handles. Here identifiers follow from paths, maps are sorted, and unnamed values are numbered in the
    order of the program.

    Args:
        model: The protobuf message (`Model.proto`).
        weights: The folder with its `weight.bin`.
        path: The package, which must not exist.
    """
    data = path / "Data"
    (data / WEIGHTS_ITEM).mkdir(parents=True)
    _number_unnamed(model)
    (data / MODEL_ITEM).write_bytes(model.SerializeToString(deterministic=True))
    shutil.copyfile(weights / "weight.bin", data / WEIGHTS_ITEM / "weight.bin")
    # Sorted like coremltools, which rewrites the manifest whenever it opens a package.
    (path / "Manifest.json").write_text(
        json.dumps(_build_package_manifest(), indent=4, sort_keys=True) + "\n", encoding="utf-8"
    )


def _number_unnamed(model: Any) -> None:
    """Renumber, in place, the values that coremltools names after their operator and a number."""
    for function in model.mlProgram.functions.values():
        for block in function.block_specializations.values():
            outputs = [output.name for operation in block.operations for output in operation.outputs]
            unnamed = (name for name in outputs if _UNNAMED_VALUE.fullmatch(name) and name not in block.outputs)
            names = {name: f"{name.split('_')[0]}_{number}" for number, name in enumerate(unnamed)}
            for operation in block.operations:
                _rename_values(operation, names)


def _rename_values(operation: Any, names: Mapping[str, str]) -> None:
    for output in operation.outputs:
        if output.name in names:
            operation.attributes["name"].immediateValue.tensor.strings.values[0] = names[output.name]
            output.name = names[output.name]
    for argument in operation.inputs.values():
        for binding in argument.arguments:
            if binding.name in names:
                binding.name = names[binding.name]


def _build_package_manifest() -> dict[str, Any]:
    descriptions = {MODEL_ITEM: "CoreML Model Specification", WEIGHTS_ITEM: "CoreML Model Weights"}
    items = {
        _create_item_identifier(item): {
            "author": _VENDOR,
            "description": description,
            "name": item.removeprefix(f"{_VENDOR}/"),
            "path": item,
        }
        for item, description in descriptions.items()
    }
    return {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": items,
        "rootModelIdentifier": _create_item_identifier(MODEL_ITEM),
    }


def _create_item_identifier(item: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"shvit-mobile:{item}")).upper()

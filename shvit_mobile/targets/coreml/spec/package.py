"""Read a Core ML package: its manifest, its program and its weights."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from shvit_mobile.contracts.artifact import MAX_ARTIFACT_BYTES
from shvit_mobile.contracts.files import read_bytes, read_json
from shvit_mobile.errors import BadArtifact
from shvit_mobile.targets.coreml.spec.blobs import BlobFile
from shvit_mobile.targets.coreml.spec.proto import import_messages

_MANIFEST_NAME = "Manifest.json"
_MODEL_PATH = "@model_path/"
# The function of a package that has one.
DEFAULT_FUNCTION = "main"


class MLPackage:
    """An opened `.mlpackage`.

    Attributes:
        path: The package.
        model: The protobuf message (`Model.proto`), an ML Program.

    Raises:
        BadArtifact: If the package, its manifest or its model is missing, damaged or not an ML Program.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._model_path = _find_root_model(path)
        self.model = _parse_model(self._model_path)
        self._blob_files: dict[str, BlobFile] = {}

    def open_blob_file(self, name: str) -> BlobFile:
        """Open the weights that the program calls `name`, as in `@model_path/weights/weight.bin`.

        Raises:
            BadArtifact: If the name leads out of the package, or the file cannot be read.
        """
        if name not in self._blob_files:
            if not name.startswith(_MODEL_PATH):
                raise BadArtifact(f"{self._model_path} takes weights from '{name}'.", why=f"Expected: {_MODEL_PATH}…")
            folder = self._model_path.parent
            self._blob_files[name] = BlobFile(
                _resolve_inside_package(self.path, folder, name.removeprefix(_MODEL_PATH), self._model_path)
            )
        return self._blob_files[name]


def _find_root_model(package: Path) -> Path:
    """Return the model file that the package's manifest names."""
    if not package.is_dir():
        kind = "is not a folder" if package.exists() else "does not exist"
        raise BadArtifact(f"{package} {kind}.", why="A Core ML package is a folder that ends in .mlpackage.")
    manifest = package / _MANIFEST_NAME
    try:
        content = read_json(manifest, error=BadArtifact, what="the manifest of a package")
        name = content["itemInfoEntries"][content["rootModelIdentifier"]]["path"]
    except (KeyError, TypeError) as reason:
        raise BadArtifact(
            f"{manifest} names no root model: {reason}.", why="It is damaged or edited by hand."
        ) from None
    if not isinstance(name, str):
        raise BadArtifact(f"{manifest} names {name!r} as its root model.", why="It should be a path.")
    return _resolve_inside_package(package, package / "Data", name, manifest)


def _resolve_inside_package(package: Path, folder: Path, name: str, source: Path) -> Path:
    """Return `folder / name`; raise `BadArtifact`, which names the file `source`, if it is outside the package."""
    path = folder / name
    inside = "\0" not in name and Path(os.path.realpath(path)).is_relative_to(os.path.realpath(package))
    if ".." in Path(name).parts or not inside:
        raise BadArtifact(f"{source} leads out of the package, to '{name}'.", why="No exporter writes such a path.")
    return path


def _parse_model(path: Path) -> Any:
    """Parse the protobuf message in a model file."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    model = import_messages("Model_pb2").Model()
    try:
        model.ParseFromString(read_bytes(path, limit=MAX_ARTIFACT_BYTES, error=BadArtifact, what="a Core ML model"))
    except DecodeError:
        raise BadArtifact(f"{path} is not a Core ML model.", why="It is damaged.", hint="Export it again.") from None
    kind = model.WhichOneof("Type")
    if kind != "mlProgram":
        raise BadArtifact(f"{path} is not an ML Program.", why=f"It holds {kind or 'no model'}.")
    return model


def find_description(package: MLPackage, function: str | None = None) -> Any:
    """Return the message that describes the inputs and outputs of a function (default: that which runs by default).

    A package with one function has them in its own description, one with several has a message for each.
    """
    description = package.model.description
    name = function or description.defaultFunctionName
    return next((one for one in description.functions if one.name == name), description)


def find_entry_block(package: MLPackage, function: str | None = None) -> tuple[Any, Any]:
    """Return a function (default: that which runs by default), and its block of operations.

    Raises:
        BadArtifact: If there is no such function, or it has no block.
    """
    name = function or package.model.description.defaultFunctionName or DEFAULT_FUNCTION
    functions = package.model.mlProgram.functions
    if name not in functions:
        raise BadArtifact(f"{package.path} has no function '{name}'.", why=f"It has: {', '.join(functions) or 'none'}.")
    entry = functions[name]
    if entry.opset not in entry.block_specializations:
        raise BadArtifact(f"{package.path} has no block for its opset '{entry.opset}'.", why="It is damaged.")
    return entry, entry.block_specializations[entry.opset]


def list_operations(package: MLPackage, function: str | None = None) -> list[Any]:
    """Return the operations of a function (default: that which runs by default), in order."""
    _, block = find_entry_block(package, function)
    return list(block.operations)


def map_producers(operations: Iterable[Any]) -> dict[str, Any]:
    """Map the name of each value to the operation that computes it."""
    return {output.name: operation for operation in operations for output in operation.outputs}


def iterate_input_names(operation: Any) -> Iterator[str]:
    """Yield the names of all values that an operation takes."""
    for argument in operation.inputs.values():
        yield from (binding.name for binding in argument.arguments if binding.WhichOneof("binding") == "name")


def get_input_name(operation: Any, name: str) -> str:
    """Return the value that an operation takes as its input `name`; empty if it takes none by name."""
    bindings = operation.inputs[name].arguments if name in operation.inputs else ()
    return next((binding.name for binding in bindings if binding.WhichOneof("binding") == "name"), "")

"""A Core ML package on disk: its manifest, its program and its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from shvit_mobile.errors import BadArtifact
from shvit_mobile.targets.coreml.spec.blobs import BlobFile
from shvit_mobile.targets.coreml.spec.proto import import_messages

MANIFEST_NAME = "Manifest.json"
MODEL_PATH = "@model_path/"


class MLPackage:
    """An opened `.mlpackage`.

    Attributes:
        path: of the package.
        model: the protobuf message (`Model.proto`), an ML Program.

    Raises:
        BadArtifact: the package, its manifest or its model is missing, damaged or not an ML Program.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._model_path = find_root_model(path)
        self.model = parse_model(self._model_path)
        self._blob_files: dict[str, BlobFile] = {}

    def open_blob_file(self, name: str) -> BlobFile:
        """The weights that the program calls `name`, as in `@model_path/weights/weight.bin`.

        Raises:
            BadArtifact: the name leads out of the package, or the file cannot be read.
        """
        if name not in self._blob_files:
            if not name.startswith(MODEL_PATH):
                raise BadArtifact(f"{self._model_path} takes weights from '{name}'.", why=f"Expected: {MODEL_PATH}…")
            folder = self._model_path.parent
            self._blob_files[name] = BlobFile(
                resolve_inside_package(self.path, folder, name.removeprefix(MODEL_PATH), self._model_path)
            )
        return self._blob_files[name]


def find_root_model(package: Path) -> Path:
    """The model file that the package's manifest names."""
    if not package.is_dir():
        kind = "is not a folder" if package.exists() else "does not exist"
        raise BadArtifact(f"{package} {kind}.", why="A Core ML package is a folder that ends in .mlpackage.")
    manifest = package / MANIFEST_NAME
    try:
        content = json.loads(manifest.read_text())
        name = content["itemInfoEntries"][content["rootModelIdentifier"]]["path"]
    except OSError as reason:
        raise BadArtifact(f"{manifest} cannot be read: {reason.strerror}.", why="It names the model.") from None
    except ValueError:  # JSON's and Unicode's errors are both of it
        raise BadArtifact(f"{manifest} is not JSON.", why="It is damaged.", hint="Export it again.") from None
    except (KeyError, TypeError) as reason:
        raise BadArtifact(f"{manifest} names no root model: {reason}.", why="It is damaged or made by hand.") from None
    if not isinstance(name, str):
        raise BadArtifact(f"{manifest} names {name!r} as its root model.", why="It should be a path.")
    return resolve_inside_package(package, package / "Data", name, manifest)


def resolve_inside_package(package: Path, folder: Path, name: str, source: Path) -> Path:
    """`folder / name`, refused where it leads out of the package; `source` is the file that says so."""
    path = folder / name
    if ".." in Path(name).parts or not path.resolve().is_relative_to(package.resolve()):
        raise BadArtifact(f"{source} leads out of the package, to '{name}'.", why="It was not made by an exporter.")
    return path


def parse_model(path: Path) -> Any:
    """The protobuf message in a model file."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    model = import_messages("Model_pb2").Model()
    try:
        model.ParseFromString(path.read_bytes())
    except OSError as reason:
        raise BadArtifact(f"{path} cannot be read: {reason.strerror}.", why="It holds the program.") from None
    except DecodeError:
        raise BadArtifact(f"{path} is not a Core ML model.", why="It is damaged.", hint="Export it again.") from None
    kind = model.WhichOneof("Type")
    if kind != "mlProgram":
        raise BadArtifact(f"{path} is not an ML Program.", why=f"It holds {kind or 'no model'}.")
    return model


def find_entry_block(package: MLPackage) -> tuple[Any, Any]:
    """The function that runs by default, and its block of operations."""
    name = package.model.description.defaultFunctionName or "main"
    functions = package.model.mlProgram.functions
    if name not in functions:
        raise BadArtifact(f"{package.path} has no function '{name}'.", why=f"It has: {', '.join(functions) or 'none'}.")
    function = functions[name]
    if function.opset not in function.block_specializations:
        raise BadArtifact(f"{package.path} has no block for its opset '{function.opset}'.", why="It is damaged.")
    return function, function.block_specializations[function.opset]

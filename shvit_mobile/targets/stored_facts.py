"""Compares a manifest with what exporters store inside an artifact's file; the artifact does not run for it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from shvit_mobile.contracts.artifact import EXPORT_AGAIN_HINT, Artifact
from shvit_mobile.contracts.manifest import Manifest, QualifiedTarget
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import BadArtifact, ToolMissing
from shvit_mobile.targets.opened_package import OpenedPackage


def open_artifact(path: AnyPath) -> Artifact:
    """Open an artifact as `Artifact.open` does, and compare its manifest with what is stored inside its file.

    ONNX and LiteRT files and a Core AI package hold labels, preprocessing, precision and checkpoint, a Core ML package
    all but the labels, and all but Core AI's the names of inputs and outputs. An ExecuTorch program holds none of them,
    unless it contains a Core ML package.

    Raises:
        BadArtifact: As `Artifact.open`; and if they differ.
        BadRecipe: As `Artifact.open`.
    """
    artifact = Artifact.open(path)
    manifest = artifact.manifest
    if manifest.qualified_target not in _READERS:
        return artifact
    try:
        stored = _READERS[manifest.qualified_target](artifact.path)
    except (ToolMissing, ImportError):
        note = (
            f"{artifact.path.name} was compared with its manifest by its SHA-256 only: the library for it is missing."
        )
        return replace(artifact, notes=(*artifact.notes, note))
    for name, expected in _list_facts(manifest).items():
        if name in stored and not _is_equal(stored[name], expected):
            raise BadArtifact(
                f"The manifest of {artifact.path} has another {name} than the file itself.",
                why=f"It is {_shorten(expected)} in the manifest, and {_shorten(stored[name])} in the file.",
                hint=EXPORT_AGAIN_HINT,
            )
    return artifact


def _list_facts(manifest: Manifest) -> dict[str, Any]:
    outputs = (*manifest.output.names, manifest.output.probabilities, manifest.output.label)
    return {
        "labels": list(manifest.labels),
        "number of classes": manifest.model.classes,
        "preprocessing": manifest.preprocessing.as_fields(),
        "precision": manifest.precision_name,
        "checkpoint": manifest.model.checkpoint_sha256,
        "range of input values": manifest.input.values,
        "input": [manifest.input.name],
        "outputs": sorted(name for name in outputs if name),
    }


def _read_onnx_facts(path: Path) -> dict[str, Any]:
    """Return what an ONNX file holds; nothing of a field that is not there or cannot be read."""
    from shvit_mobile.targets.onnx.inventory import read_onnx_model

    model = read_onnx_model(path)
    texts = {entry.key: entry.value for entry in model.metadata_props}
    return {
        "labels": _parse(texts.get("labels")),
        "preprocessing": _parse(texts.get("preprocessing")),
        "precision": texts.get("precision"),
        "checkpoint": texts.get("checkpoint_sha256"),
        "range of input values": texts.get("values"),
        "input": [value.name for value in model.graph.input],
        "outputs": sorted(value.name for value in model.graph.output),
    }


def _read_coreml_facts(path: Path) -> dict[str, Any]:
    """Return what a Core ML package holds, or that in a program, as `_read_onnx_facts` does."""
    from shvit_mobile.targets.coreml.spec.package import MLPackage, find_description

    opened = OpenedPackage(path)
    package = MLPackage(opened.path)
    description = find_description(package)
    known = _parse(package.model.description.metadata.userDefined.get("shvit-mobile"))
    facts = known if isinstance(known, dict) else {}
    return {
        "number of classes": facts.get("classes"),
        "preprocessing": facts.get("preprocessing"),
        "precision": facts.get("precision"),
        "checkpoint": facts.get("checkpoint_sha256"),
        "range of input values": facts.get("takes"),
        "input": [feature.name for feature in description.input],
        "outputs": sorted(feature.name for feature in description.output),
    }


def _read_litert_facts(path: Path) -> dict[str, Any]:
    """Return what a LiteRT file holds, as `_read_onnx_facts` does."""
    from shvit_mobile.targets.litert.metadata import read_facts

    return read_facts(path)


def _read_coreai_facts(path: Path) -> dict[str, Any]:
    """Return what a Core AI package holds, as `_read_onnx_facts` does."""
    from shvit_mobile.targets.coreai.package import read_facts

    facts = read_facts(path)
    return {
        "labels": facts.get("labels"),
        "preprocessing": facts.get("preprocessing"),
        "precision": facts.get("precision"),
        "checkpoint": facts.get("checkpoint_sha256"),
        "range of input values": facts.get("values"),
    }


_READERS: dict[QualifiedTarget, Callable[[Path], dict[str, Any]]] = {
    "onnx": _read_onnx_facts,
    "coreml": _read_coreml_facts,
    "executorch-coreml": _read_coreml_facts,
    "litert": _read_litert_facts,
    "coreai": _read_coreai_facts,
}


def _parse(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_equal(stored: Any, expected: Any) -> bool:
    """Return whether a stored value is the manifest's; earlier versions stored fewer fields of the preprocessing."""
    if stored is None:
        return True
    if isinstance(expected, Mapping) and isinstance(stored, Mapping):
        plain = json.loads(json.dumps(expected))
        return all(plain.get(name, value) == value for name, value in stored.items())
    return bool(stored == expected)


def _shorten(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 100 else f"{text[:100]}…"

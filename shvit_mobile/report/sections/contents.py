"""What is inside the artifacts: bytes by dtype, operators, and how much a backend took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from shvit_mobile.contracts.manifest import Manifest
from shvit_mobile.contracts.report import Joined, Report
from shvit_mobile.report.charts.bars import stacked
from shvit_mobile.report.display_names import artifact_label
from shvit_mobile.report.formatting import listed, megabytes, plural
from shvit_mobile.report.sections.section import Section
from shvit_mobile.targets.delegation import sentences

# By the family of a dtype, the class of its colour.
COLOURS = {"int8": "c1", "uint8": "c1", "int4": "c3", "uint4": "c3", "float16": "c2", "float32": "c4"}
OTHER, REST = "c5", "c6"


@dataclass(frozen=True)
class Inside:
    """An artifact."""

    label: str
    file: str
    graphic: Markup
    size: str
    weights: str
    quantized: int
    operators: str
    most: tuple[tuple[str, int], ...]
    delegation: tuple[str, ...]


def contents(report: Report) -> Section | None:
    known = [(one, manifest) for one in report.artifacts if (manifest := report.manifest(one))]
    if not known:
        return None
    most = max(manifest.artifact.bytes for _, manifest in known)
    dtypes = dict.fromkeys(dtype for _, manifest in known for dtype in manifest.inventory.weight_bytes)
    data = {
        "artifacts": [inside(one, manifest, most) for one, manifest in known],
        "legend": legend(dtypes),
        "delegation": any(manifest.delegation for _, manifest in known),
    }
    return Section("contents", "What is inside", "Contents", data)


def legend(dtypes: Iterable[str]) -> list[tuple[str, str]]:
    """Each colour once, with all dtypes that have it."""
    found: dict[str, list[str]] = {}
    for dtype in sorted(dtypes):
        found.setdefault(colour(dtype), []).append(dtype)
    return [*((style, listed(names)) for style, names in found.items()), (REST, "program and the rest")]


def inside(one: Joined, manifest: Manifest, most: int) -> Inside:
    inventory, size = manifest.inventory, manifest.artifact.bytes
    operators = sorted(inventory.operators.items(), key=lambda item: (-item[1], item[0]))
    return Inside(
        label=artifact_label(one),
        file=one.name,
        graphic=bar(manifest, most),
        size=megabytes(size),
        weights=weights(manifest),
        quantized=inventory.quantized_layers,
        operators=plural(sum(inventory.operators.values()), "operator"),
        most=tuple(operators),
        delegation=tuple(sentences(manifest.delegation)) if manifest.delegation else (),
    )


def bar(manifest: Manifest, most: int) -> Markup:
    """Bytes of weights by dtype, then what is left of the file."""
    bytes_by = sorted(manifest.inventory.weight_bytes.items(), key=lambda item: -item[1])
    rest = max(manifest.artifact.bytes - sum(count for _, count in bytes_by), 0)
    parts = {f"{dtype}: {megabytes(count)} MB": (float(count), colour(dtype)) for dtype, count in bytes_by}
    parts[f"program and the rest: {megabytes(rest)} MB"] = (float(rest), REST)
    return stacked(parts, most, ", ".join(parts))


def weights(manifest: Manifest) -> str:
    """Bytes of weights by dtype, in words."""
    found = sorted(manifest.inventory.weight_bytes.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{dtype} {megabytes(count)}" for dtype, count in found)


def colour(dtype: str) -> str:
    return COLOURS.get(dtype, OTHER)

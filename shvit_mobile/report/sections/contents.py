"""The section on contents: bytes by dtype, operators, and delegation."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from shvit_mobile.contracts.manifest import Manifest
from shvit_mobile.contracts.report import ModelReport, ReportArtifact
from shvit_mobile.report.charts.cells import draw_stacked_bar
from shvit_mobile.report.display_names import format_artifact_label
from shvit_mobile.report.formatting import format_megabytes, join_words, pluralize
from shvit_mobile.targets.delegation import describe_delegation

# The color class of each dtype.
_DTYPE_COLORS = {"int8": "c1", "uint8": "c1", "int4": "c3", "uint4": "c3", "float16": "c2", "float32": "c4"}
OTHER_COLOR, REST_COLOR = "c5", "c6"


@dataclass(frozen=True)
class _ArtifactContents:
    """The contents of one artifact."""

    label: str
    manifest: Manifest
    graphic: Markup
    weights: str
    operators: str
    most: list[tuple[str, int]]
    delegation: Sequence[str]


def build_variables(report: ModelReport) -> dict[str, object] | None:
    known = [(one, manifest) for one in report.artifacts if (manifest := report.get_manifest(one))]
    if not known:
        return None
    most = max(manifest.artifact.bytes for _, manifest in known)
    dtypes = dict.fromkeys(dtype for _, manifest in known for dtype in manifest.inventory.weight_bytes)
    return {
        "artifacts": [_build_artifact_contents(one, manifest, most) for one, manifest in known],
        "legend": _build_legend(dtypes),
        "delegation": any(manifest.delegation for _, manifest in known),
    }


def _build_legend(dtypes: Iterable[str]) -> list[tuple[str, str]]:
    """Return each color once, with its dtypes."""
    found: dict[str, list[str]] = {}
    for dtype in sorted(dtypes):
        found.setdefault(_choose_color(dtype), []).append(dtype)
    return [*((style, join_words(names)) for style, names in found.items()), (REST_COLOR, "program and other data")]


def _build_artifact_contents(one: ReportArtifact, manifest: Manifest, most: int) -> _ArtifactContents:
    operators = manifest.inventory.operators
    return _ArtifactContents(
        label=format_artifact_label(one),
        manifest=manifest,
        graphic=_draw_size_bar(manifest, most),
        weights=_format_weights(manifest),
        operators=pluralize(sum(operators.values()), "operator"),
        most=sorted(operators.items(), key=lambda item: (-item[1], item[0])),
        delegation=describe_delegation(manifest.delegation) if manifest.delegation else (),
    )


def _draw_size_bar(manifest: Manifest, most: int) -> Markup:
    """Draw the bytes of weights by dtype, then the rest of the file."""
    bytes_by = sorted(manifest.inventory.weight_bytes.items(), key=lambda item: -item[1])
    rest = max(manifest.artifact.bytes - sum(count for _, count in bytes_by), 0)
    parts = {
        f"{dtype}: {format_megabytes(count)} MB": (float(count), _choose_color(dtype)) for dtype, count in bytes_by
    }
    parts[f"program and other data: {format_megabytes(rest)} MB"] = (float(rest), REST_COLOR)
    return draw_stacked_bar(parts, most, ", ".join(parts))


def _format_weights(manifest: Manifest) -> str:
    """Return the bytes of weights by dtype as text."""
    found = sorted(manifest.inventory.weight_bytes.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{dtype} {format_megabytes(count)}" for dtype, count in found)


def _choose_color(dtype: str) -> str:
    return _DTYPE_COLORS.get(dtype, OTHER_COLOR)

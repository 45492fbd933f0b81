"""The section on provenance: files, hashes, versions, recipes, and the commands that reproduce artifacts."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shvit_mobile.contracts.artifact import get_recipe_path
from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.contracts.drift_report import DriftReport
from shvit_mobile.contracts.instruction_report import InstructionReport
from shvit_mobile.contracts.manifest import Manifest
from shvit_mobile.contracts.report import DocumentKind, ModelReport, ReportArtifact
from shvit_mobile.report.display_names import format_artifact_label
from shvit_mobile.report.formatting import format_timestamp, join_words, pluralize

_KIND_NAMES: dict[DocumentKind, str] = {
    "manifest": "manifest",
    "drift_report": "drift report",
    "device_report": "device report",
    "sensitivity": "sensitivity report",
    "instruction_report": "count of instructions",
}


@dataclass(frozen=True)
class _ArtifactOrigin:
    """The facts about an artifact, and the command that reproduces it."""

    label: str
    file: str
    facts: Mapping[str, str]
    command: str


@dataclass(frozen=True)
class _ReportInput:
    """An input file of the page."""

    file: str
    kind: str
    fixture: bool
    created: str
    app: str
    sha256: str


def build_variables(report: ModelReport) -> dict[str, object]:
    known = [(one, manifest) for one in report.artifacts if (manifest := report.get_manifest(one))]
    return {
        "origins": [_build_artifact_origin(one, manifest) for one, manifest in known],
        "inputs": _build_report_inputs(report),
    }


def _build_artifact_origin(one: ReportArtifact, manifest: Manifest) -> _ArtifactOrigin:
    made_from, shape = manifest.model, "×".join(map(str, manifest.input.shape))
    facts = {
        "SHA-256": one.sha256,
        "Checkpoint": f"{made_from.source} ({made_from.variant}, {made_from.dialect})",
        "Checkpoint SHA-256": made_from.checkpoint_sha256,
        "Recipe": _format_recipe(manifest),
        "Calibration": _format_calibration(manifest),
        "Input": f"{manifest.input.name}, {manifest.input.dtype} {shape}, {manifest.input.values}",
        "Preprocessing": _format_preprocessing(manifest),
        "Options": ", ".join(f"{name} {value}" for name, value in manifest.options.items() if value not in ("", 0)),
        "Versions": ", ".join(f"{name} {version}" for name, version in manifest.versions.items()),
    }
    return _ArtifactOrigin(
        format_artifact_label(one),
        one.name,
        {name: value for name, value in facts.items() if value},
        _format_export_command(manifest),
    )


def _format_recipe(manifest: Manifest) -> str:
    told = manifest.recipe
    ranges = f"ranges of {pluralize(len(told.ranges), 'call')} of layers by {told.observer}" if told.ranges else ""
    stays = f"float: {join_words(list(told.float_kinds))}" if told.float_kinds else ""
    besides = f"also float: {join_words(list(told.float_layers))}" if told.float_layers else ""
    symmetric = "symmetric activations" if told.activations == "symmetric" else ""
    return "; ".join(filter(None, (told.precision_name, ranges, symmetric, stays, besides)))


def _format_calibration(manifest: Manifest) -> str:
    images = manifest.recipe.calibration
    if images is None:
        return ""
    told = f"{pluralize(images.count, 'image')} of “{images.source}”, seed {images.seed}, SHA-256 {images.sha256}"
    return f"{told}. {images.use.describe(images.source)}" if images.use and not images.use.is_complete else told


def _format_preprocessing(manifest: Manifest) -> str:
    told = manifest.preprocessing
    height, width = told.size
    padding = f" padded at the {told.padding} with {told.padding_value}" if told.padding else ""
    return (
        f"{height}×{width}, {told.resize_mode}{padding}, {told.interpolation}, crop {told.crop_ratio:g}, "
        f"{told.channel_order.upper()}, mean {_format_numbers(told.mean)}, std {_format_numbers(told.std)}"
    )


def _format_numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _format_export_command(manifest: Manifest) -> str:
    """Return the command that reproduces the artifact from its checkpoint and recipe."""
    recipe_file = get_recipe_path(Path(manifest.artifact.name)).name
    height, width = manifest.preprocessing.size
    words = ["shvit-mobile", "export", "--target", manifest.target, "--checkpoint", manifest.model.source]
    if manifest.task != "classify":
        words += ["--task", manifest.task]
    if manifest.model.required_variant:
        words += ["--model", manifest.model.required_variant]
    if manifest.delegate not in (None, "xnnpack"):
        words += ["--delegate", str(manifest.delegate)]
    return shlex.join([*words, "--size", f"{height}x{width}", "--recipe", recipe_file])


def _build_report_inputs(report: ModelReport) -> list[_ReportInput]:
    """List the input files, and what made them."""
    found = []
    documents = (*report.manifests, *report.drift, *report.devices, *report.sensitivity, *report.instructions)
    for source, document in zip(report.sources, documents, strict=True):
        created, app, fixture = "", "", isinstance(document, DeviceReport) and document.fixture
        if isinstance(document, Manifest) and (made_by := document.versions.get("shvit-mobile")):
            app = f"shvit-mobile {made_by} export"
        elif isinstance(document, DriftReport | DeviceReport | InstructionReport):
            created, app = format_timestamp(document.created), document.app
        found.append(_ReportInput(source.file, _KIND_NAMES[source.kind], fixture, created, app, source.sha256))
    return found

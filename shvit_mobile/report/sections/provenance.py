"""Where everything came from: files, hashes, versions, recipes, and how to make it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shvit_mobile.contracts.artifact import recipe_path
from shvit_mobile.contracts.manifest import Manifest
from shvit_mobile.contracts.report import Joined, Kind, Report
from shvit_mobile.report.display_names import artifact_label
from shvit_mobile.report.formatting import listed, moment, plural
from shvit_mobile.report.sections.section import Section

KINDS: dict[Kind, str] = {
    "manifest": "manifest",
    "drift_report": "drift report",
    "device_report": "device report",
    "sensitivity": "sensitivity report",
}


@dataclass(frozen=True)
class Origin:
    """An artifact: names and values, and the command that makes it again."""

    label: str
    file: str
    facts: Mapping[str, str]
    command: str


@dataclass(frozen=True)
class Input:
    """A file that this page was made from."""

    file: str
    kind: str
    fixture: bool
    created: str
    app: str
    sha256: str


def provenance(report: Report) -> Section:
    known = [(one, manifest) for one in report.artifacts if (manifest := report.manifest(one))]
    data = {"origins": [origin(one, manifest) for one, manifest in known], "inputs": inputs(report)}
    return Section("provenance", "Where it came from", "Provenance", data)


def origin(one: Joined, manifest: Manifest) -> Origin:
    made_from, shape = manifest.model, "×".join(map(str, manifest.input.shape))
    facts = {
        "SHA-256": one.sha256,
        "Checkpoint": f"{made_from.source} ({made_from.variant}, {made_from.dialect})",
        "Checkpoint SHA-256": made_from.checkpoint_sha256,
        "Recipe": recipe(manifest),
        "Calibration": calibration(manifest),
        "Input": f"{manifest.input.name}, {manifest.input.dtype} {shape}, {manifest.input.values}",
        "Preprocessing": preprocessing(manifest),
        "Options": ", ".join(f"{name} {value}" for name, value in manifest.options.items() if value not in ("", 0)),
        "Versions": ", ".join(f"{name} {version}" for name, version in manifest.versions.items()),
    }
    return Origin(
        artifact_label(one), one.name, {name: value for name, value in facts.items() if value}, again(manifest)
    )


def recipe(manifest: Manifest) -> str:
    told = manifest.recipe
    ranges = f"{plural(len(told.ranges), 'layer')} with ranges by {told.observer}" if told.ranges else ""
    stays = f"float: {listed(list(told.float_kinds))}" if told.float_kinds else ""
    besides = f"float besides: {listed(list(told.float_layers))}" if told.float_layers else ""
    symmetric = "symmetric activations" if told.activations == "symmetric" else ""
    return "; ".join(filter(None, (told.precision_name, ranges, symmetric, stays, besides)))


def calibration(manifest: Manifest) -> str:
    images = manifest.recipe.calibration
    return (
        f"{plural(images.count, 'image')} of “{images.source}”, seed {images.seed}, SHA-256 {images.sha256}"
        if images
        else ""
    )


def preprocessing(manifest: Manifest) -> str:
    told = manifest.preprocessing
    height, width = told.size
    return (
        f"{height}×{width}, {told.interpolation}, crop {told.crop_ratio:g}, {told.channel_order.upper()}, "
        f"mean {numbers(told.mean)}, std {numbers(told.std)}"
    )


def numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)


def again(manifest: Manifest) -> str:
    """The command that makes the artifact again from checkpoint and recipe, in a shell's words."""
    recipe_file = recipe_path(Path(manifest.artifact.name)).name
    words = ("shvit-mobile", "export", "--target", manifest.target, "--checkpoint", manifest.model.source)
    return shlex.join([*words, "--recipe", recipe_file])


def inputs(report: Report) -> list[Input]:
    """Each with what it says of its making."""
    found = []
    places: dict[Kind, int] = {}
    for source in report.sources:
        number = places.get(source.kind, 0)
        places[source.kind] = number + 1
        created, app, fixture = "", "", False
        if source.kind == "manifest" and (made_by := report.manifests[number].versions.get("shvit-mobile")):
            app = f"shvit-mobile {made_by} export"
        elif source.kind == "drift_report":
            created, app = moment(report.drift[number].created), report.drift[number].app
        elif source.kind == "device_report":
            device = report.devices[number]
            created, app, fixture = moment(device.created), device.app, device.fixture
        found.append(Input(source.file, KINDS[source.kind], fixture, created, app, source.sha256))
    return found

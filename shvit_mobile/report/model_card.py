"""Renders a model card in Markdown, with Hugging Face's metadata, from manifests and device reports."""

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path

from shvit_mobile.apps.devices import format_compute_unit, get_device_name
from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.manifest import Manifest, Task
from shvit_mobile.contracts.outputs import check_overwrite
from shvit_mobile.errors import InvalidConfig, InvalidValue, OutputExists
from shvit_mobile.report.formatting import (
    EXECUTION_DESCRIPTIONS,
    NO_VALUE,
    abbreviate_sha256,
    format_decibels,
    format_drop_interval,
    format_megabytes,
    format_milliseconds,
    format_model_name,
    format_points,
    format_share,
    format_significant,
    format_target,
    pluralize,
)
from shvit_mobile.report.sentences import describe_row_details
from shvit_mobile.targets.delegation import describe_delegation

# The file that Hugging Face shows.
CARD_FILE = "README.md"
CARD_MARKER = "<!-- Written by shvit-mobile from the manifests beside it. -->"
# Hugging Face's identifier.
UNKNOWN_LICENSE = "unknown"
# By task, Hugging Face's pipeline, and what such a model does.
_PIPELINE_TAGS: dict[Task, str] = {
    "classify": "image-classification",
    "features": "image-feature-extraction",
    "detect": "object-detection",
}
_WORK: dict[Task, str] = {
    "classify": "classifies images",
    "features": "computes feature maps of images",
    "detect": "detects objects in images",
}
# By family, the tags and what a card calls such a model.
_FAMILIES = {
    "shvit": (("shvit", "vision-transformer"), "A [SHViT](https://arxiv.org/abs/2401.16456)"),
    "timm": (("timm",), "A model of [timm](https://github.com/huggingface/pytorch-image-models)"),
    "module": ((), "A PyTorch model"),
}


def render_model_card(
    manifests: Sequence[Manifest],
    *,
    reports: Sequence[DeviceReport] = (),
    license: str = UNKNOWN_LICENSE,
    images: str = "images",
) -> str:
    """Render the model card.

    Args:
        manifests: The manifests of artifacts of one checkpoint.
        reports: Device reports; results of other artifacts are left out.
        license: Hugging Face's identifier, such as "mit" or "apache-2.0".
        images: The name of the images that drift was measured on, for the metadata.

    Raises:
        InvalidConfig: If there are no manifests, or manifests of several checkpoints.
    """
    if len({manifest.model.checkpoint_sha256 for manifest in manifests}) != 1:
        raise InvalidConfig(
            f"A model card describes one checkpoint, and these {len(manifests)} manifests do not belong to one.",
            why="Drift is measured from one float model.",
        )
    parts = [
        _format_front_matter(manifests, license, images),
        CARD_MARKER,
        f"# {_format_title(manifests[0])}",
        _format_introduction(manifests[0], unproven=any(manifest.is_unproven for manifest in manifests)),
        "## Artifacts",
        *_format_artifacts(manifests),
        "## Drift from the float model",
        *_format_drift(manifests),
        "## On devices",
        *_format_device_results(manifests, reports),
        "## Usage",
        *_format_usage(manifests),
        "## Provenance",
        *_format_provenance(manifests),
    ]
    return "\n\n".join(parts) + "\n"


def check_license(license: str) -> None:
    """Raise `InvalidValue` for a text that cannot be one of Hugging Face's identifiers."""
    if not re.fullmatch(r"[a-z0-9]+([.-][a-z0-9]+)*", license):
        raise InvalidValue(
            f"`license` is '{license}'.",
            why="It is one of Hugging Face's identifiers in lower case, such as mit or apache-2.0.",
            parameter="license",
        )


def check_card(path: Path, *, overwrite: bool) -> None:
    """Raise `OutputExists` if the card cannot be written; ask before the work begins.

    A README that is not a card of shvit-mobile is never replaced.
    """
    check_overwrite(path, overwrite=overwrite)
    if path.exists() and (not path.is_file() or CARD_MARKER not in path.read_text(encoding="utf-8", errors="replace")):
        raise OutputExists(
            f"{path} already exists, and is not a model card of shvit-mobile.",
            why="`overwrite` replaces what shvit-mobile wrote, but not your own README.",
            hint="Choose another folder for `out`.",
        )


def _format_front_matter(manifests: Sequence[Manifest], license: str, images: str) -> str:
    """Return Hugging Face's metadata in YAML, with accuracy and agreement of each artifact that was compared."""
    from huggingface_hub import EvalResult, ModelCardData

    first = manifests[0]
    rows = [manifest.drift for manifest in manifests if manifest.drift]
    results = [
        EvalResult(
            task_type="image-classification",
            dataset_type="imagefolder",
            dataset_name=f"{images} ({row.images} images)",
            metric_type=metric,
            metric_value=round(share.value, 6),
            metric_name=f"{words}, {row.artifact} ({row.how})",
        )
        for row in rows
        for metric, words, share in (
            ("accuracy", "top-1", row.top1),
            ("agreement", "agreement with the float model", row.agreement),
        )
        if share is not None
    ]
    metadata = ModelCardData(
        license=license,
        library_name="shvit-mobile",
        pipeline_tag=_PIPELINE_TAGS[first.task],
        tags=_collect_tags(manifests),
        metrics=["accuracy"] if any(row.top1 for row in rows) else None,
        model_name=first.model.variant if results else None,
        eval_results=results or None,
    )
    return f"---\n{metadata.to_yaml()}\n---"


def _collect_tags(manifests: Iterable[Manifest]) -> list[str]:
    manifests = list(manifests)
    found = [value for manifest in manifests for value in (manifest.target, manifest.precision_name)]
    kind = _FAMILIES[manifests[0].model.family][0]
    return list(dict.fromkeys([*kind, _PIPELINE_TAGS[manifests[0].task], "mobile", *found]))


def _format_title(manifest: Manifest) -> str:
    height, width = manifest.preprocessing.size
    variant = manifest.model.variant
    name = "SHViT" if manifest.model.family == "shvit" and variant == "custom" else format_model_name(variant)
    classes = pluralize(manifest.model.classes, "class", "classes") if manifest.model.classes else "feature maps"
    return f"{_escape_text(name)} for phones, {classes}, {height}x{width}"


def _format_introduction(manifest: Manifest, *, unproven: bool) -> str:
    version = _escape_text(manifest.versions.get("shvit-mobile", ""))
    return (
        f"{_FAMILIES[manifest.model.family][1]} ({_format_code(manifest.model.variant)}) that {_WORK[manifest.task]}, "
        f"exported from {_format_code(manifest.model.source)} by shvit-mobile {version}. "
        f"Each artifact was run once on the machine that exported it{', but the unproven ones' if unproven else ''}."
    )


def _format_artifacts(manifests: Iterable[Manifest]) -> Iterator[str]:
    yield _format_table(
        ("file", "target", "precision", "MB", "int8 layers", "SHA-256"),
        (
            (
                _format_code(manifest.artifact.name),
                format_target(manifest.qualified_target),
                manifest.precision_name,
                format_megabytes(manifest.artifact.bytes),
                str(manifest.inventory.quantized_layers),
                _format_code(manifest.artifact.sha256),
            )
            for manifest in manifests
        ),
    )
    for manifest in manifests:
        if manifest.delegation:
            yield f"{_format_code(manifest.artifact.name)}: {' '.join(describe_delegation(manifest.delegation))}"


def _format_drift(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Yield the table, the meaning of its executions, and the artifacts that were not compared."""
    rows = [manifest.drift for manifest in manifests if manifest.drift]
    if rows:
        labelled = any(row.top1 for row in rows)
        intervals = "The 95% intervals are Wilson's for shares and Tango's for the paired drop."
        has_maps = any(row.maps for row in rows)
        yield (
            "Each artifact compared with the float checkpoint on the same images. "
            f"{'Of several maps, the lowest SQNR counts.' if has_maps else intervals}"
        )
        headings = ("file", "execution", "engine", "images", *(("top-1 %", "drop, points") if labelled else ()))
        yield _format_table(
            (*headings, "agreement %", "SQNR dB", "max error", "mean KL"),
            (_format_drift_cells(row, labelled) for row in rows),
        )
        if has_maps:
            yield "\n".join(
                f"- {_format_code(row.artifact)}, {line}" for row in rows for line in describe_row_details(row)
            )
        yield "\n".join(
            f"- `{how}`: {sentence}"
            for how, sentence in EXECUTION_DESCRIPTIONS.items()
            if how in {row.how for row in rows}
        )
    without = [_format_code(manifest.artifact.name) for manifest in manifests if manifest.drift is None]
    if without:
        yield f"Not compared with the float model on images: {', '.join(without)}."


def _format_drift_cells(row: DriftRow, labelled: bool) -> tuple[str, ...]:
    return (
        _format_code(row.artifact),
        row.how,
        _escape_text(row.engine),
        str(row.images),
        *((format_share(row.top1), _format_drop(row)) if labelled else ()),
        format_share(row.agreement),
        format_decibels(row.sqnr_db),
        format_significant(row.max_abs_error),
        format_significant(row.mean_kl, 1),
    )


def _format_device_results(manifests: Sequence[Manifest], reports: Iterable[DeviceReport]) -> Iterator[str]:
    """Yield the results of devices on these files; fixtures are marked."""
    known = {manifest.artifact.sha256: manifest.artifact.name for manifest in manifests}
    found = [(report, result) for report in reports for result in report.results if result.artifact_sha256 in known]
    if not found:
        yield "These artifacts were not measured on a device, so their latency is unknown."
        return
    yield "Milliseconds per inference of the files above. `golden`: whether the device reproduces known logits."
    yield _format_table(
        ("device", "system", "file", "unit", "p50", "p99", "golden"),
        (
            (
                _escape_text(get_device_name(report)) + (" **(fixture, not measured)**" if report.fixture else ""),
                _escape_text(report.device.system),
                _format_code(known[result.artifact_sha256 or ""]),
                format_compute_unit(report, result),
                format_milliseconds(result.latency.p50),
                format_milliseconds(result.latency.p99),
                NO_VALUE if result.golden is None else "passed" if result.golden.passed else "**failed**",
            )
            for report, result in found
        ),
    )


def _format_usage(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Yield preprocessing, inputs and labels."""
    first = manifests[0]
    height, width = first.preprocessing.size
    order = "" if first.preprocessing.channel_order == "rgb" else "; the order of channels is blue, green, red"
    told = first.preprocessing
    if told.resize_mode == "letterbox":
        place = "right or bottom" if told.padding == "end" else "shorter sides, centered,"
        value = ", ".join(map(str, told.padding_value or ()))
        yield (
            f"Resize the picture ({told.interpolation}), keeping its proportions, to fit into {height}x{width}, and "
            f"pad its {place} with ({value}){order}."
        )
    else:
        squash, sides = {
            "cover": ("", "its tighter side"),
            "squash": (", without keeping its proportions,", "both its sides"),
        }[told.resize_mode]
        yield (
            f"Resize the picture ({told.interpolation}){squash} so that the center crop of {height}x{width} "
            f"keeps {100 * told.crop_ratio:g}% of {sides}{order}."
        )
    yield "\n".join(
        f"- {_format_code(manifest.artifact.name)} takes {_describe_input(manifest)}." for manifest in manifests
    )
    if not first.labels:
        yield "Each artifact returns maps, float32 with channels first:"
        yield "\n".join(
            f"- {_format_code(one.name)}: {' x '.join(map(str, one.shape))}, stride {one.stride}"
            for one in first.output.maps
        )
        return
    shown = ", ".join(_escape_text(label) for label in first.labels[:10])
    more = ", …" if len(first.labels) > 10 else ""
    yield f"Classes in the order of the logits: {shown}{more}. The manifests list all of them."


def _describe_input(manifest: Manifest) -> str:
    inputs, model = manifest.input, manifest.preprocessing
    shape = " x ".join(str(side) if side else "any" for side in inputs.shape)
    values = (
        "values from 0 to 255 (the artifact normalizes them)"
        if inputs.values == "pixels"
        else f"normalized as (pixel / 255 - mean) / std, mean {model.mean}, std {model.std}"
    )
    blocks = ", 2x2 blocks stacked in channels" if inputs.layout == "space-to-depth" else ""
    return f"the {inputs.kind} `{inputs.name}`, {inputs.dtype} {shape}{blocks}, {values}"


def _format_provenance(manifests: Sequence[Manifest]) -> Iterator[str]:
    first = manifests[0]
    yield (
        f"Checkpoint: {_format_code(first.model.source)} ({_escape_text(first.model.dialect)} layout), SHA-256 "
        f"{_format_code(first.model.checkpoint_sha256)}. BatchNorm is folded, and the folding is verified in float64."
    )
    yield "\n".join(f"- {_format_code(manifest.artifact.name)}: {_describe_recipe(manifest)}" for manifest in manifests)
    versions = {name: version for manifest in manifests for name, version in manifest.versions.items()}
    pairs = ", ".join(f"{_escape_text(name)} {_escape_text(version)}" for name, version in versions.items())
    yield f"Versions: {pairs}."


def _describe_recipe(manifest: Manifest) -> str:
    recipe, images = manifest.recipe, manifest.recipe.calibration
    kept = f", {', '.join(recipe.float_kinds)} in float" if recipe.float_kinds else ""
    besides = f", also in float: {', '.join(map(_format_code, recipe.float_layers))}" if recipe.float_layers else ""
    calibrated = (
        f", calibrated ({recipe.observer}) on {pluralize(images.count, 'image')} of {_format_code(images.source)}, "
        f"SHA-256 {abbreviate_sha256(images.sha256)}"
        if images
        else ""
    )
    return f"{recipe.precision_name}{kept}{besides}{calibrated}."


def _format_drop(row: DriftRow) -> str:
    interval = format_drop_interval(row)
    return f"{format_points(row.top1_drop)} ({interval})" if interval else NO_VALUE


def _format_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escape_text(value: str) -> str:
    """Escape Markdown and HTML in a text, and put it on one line."""
    return re.sub(r"([\\`*_{}\[\]|!~])", r"\\\1", escape(_collapse_whitespace(value), quote=False))


def _format_code(value: str) -> str:
    """Format a text as code on one line; a backtick or a bar would end the code or its cell."""
    return f"`{_collapse_whitespace(value).replace('`', chr(39)).replace('|', '¦')}`"


def _collapse_whitespace(value: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in value).split())

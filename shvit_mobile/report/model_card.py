"""A model card in Markdown, with Hugging Face's metadata, out of the manifests of one export and what devices measured.

It says no more than was done: what ran each artifact, on how many images, and what nobody has measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path

from shvit_mobile.apps.devices import format_compute_unit, get_device_name
from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.contracts.drift_row import DriftRow, Execution, ProportionEstimate
from shvit_mobile.contracts.manifest import Manifest
from shvit_mobile.contracts.outputs import check_overwrite
from shvit_mobile.errors import InvalidConfig, OutputExists
from shvit_mobile.targets.delegation import describe_delegation

# Where Hugging Face looks for it.
CARD_FILE = "README.md"
CARD_MARKER = "<!-- Written by shvit-mobile from the manifests beside it. -->"
# Hugging Face's own word for it.
UNKNOWN_LICENSE = "unknown"
TARGET_NAMES = {"coreml": "Core ML", "executorch": "ExecuTorch", "onnx": "ONNX"}
EXECUTION_DESCRIPTIONS: dict[Execution, str] = {
    "native": "the target's own runtime ran the artifact where it was made",
    "reference": "shvit-mobile's executor of Core ML's specification ran the artifact: the arithmetic that the file "
    "asks for, and not the kernels of a phone's CPU, GPU or Neural Engine",
    "emulated": "the target's own runtime ran the artifact on an emulated CPU",
    "simulated": "PyTorch computed what the artifact is to compute, and no artifact ran",
}
NO_VALUE = "–"


def render_model_card(
    manifests: Sequence[Manifest],
    *,
    reports: Sequence[DeviceReport] = (),
    license: str = UNKNOWN_LICENSE,
    images: str = "images",
) -> str:
    """The whole card.

    Args:
        manifests: of artifacts that were made from one checkpoint.
        reports: of devices that measured them; results of other artifacts are left out.
        license: Hugging Face's identifier, such as "mit" or "apache-2.0".
        images: what to call the images that drift was measured on, for the metadata.

    Raises:
        InvalidConfig: there are no manifests, or they are of several checkpoints.
    """
    if len({manifest.model.checkpoint_sha256 for manifest in manifests}) != 1:
        raise InvalidConfig(
            f"A model card is of one checkpoint, and these {len(manifests)} manifests are not.",
            why="Its figures are drift from one float model.",
        )
    parts = [
        format_front_matter(manifests, license, images),
        CARD_MARKER,
        f"# {format_title(manifests[0])}",
        format_introduction(manifests[0]),
        "## Artifacts",
        *format_artifacts(manifests),
        "## Drift from the float model",
        *format_drift(manifests),
        "## On devices",
        *format_device_results(manifests, reports),
        "## How to use it",
        *format_usage(manifests),
        "## How it was made",
        *format_provenance(manifests),
    ]
    return "\n\n".join(parts) + "\n"


def check_license(license: str) -> None:
    """Raises `InvalidConfig` for what is no identifier; which ones there are, Hugging Face says."""
    if not re.fullmatch(r"[a-z0-9]+([.-][a-z0-9]+)*", license):
        raise InvalidConfig(
            f"--license is '{license}'.",
            why="It is one of Hugging Face's identifiers, in small letters, such as mit or apache-2.0.",
        )


def check_card(path: Path, *, overwrite: bool) -> None:
    """Raises `OutputExists` where the card's file is there and must not be replaced; ask before the work.

    A README that is no card of ours is somebody's own and is kept, whatever is asked for.
    """
    check_overwrite(path, overwrite=overwrite)
    if path.exists() and (not path.is_file() or CARD_MARKER not in path.read_text(errors="replace")):
        raise OutputExists(
            f"{path} is already there, and is no model card of shvit-mobile.",
            why="--overwrite replaces what shvit-mobile wrote, and not a README of yours.",
            hint="Choose another folder with --out.",
        )


def format_front_matter(manifests: Sequence[Manifest], license: str, images: str) -> str:
    """Hugging Face's metadata in YAML; an accuracy and an agreement for each artifact that was compared."""
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
    told = ModelCardData(
        license=license,
        library_name="shvit-mobile",
        pipeline_tag="image-classification",
        tags=collect_tags(manifests),
        metrics=["accuracy"] if any(row.top1 for row in rows) else None,
        model_name=first.model.variant if results else None,
        eval_results=results or None,
    )
    return f"---\n{told.to_yaml()}\n---"


def collect_tags(manifests: Iterable[Manifest]) -> list[str]:
    """What a search should find it by."""
    found = [value for manifest in manifests for value in (manifest.target, manifest.precision_name)]
    return list(dict.fromkeys(["shvit", "vision-transformer", "image-classification", "mobile", *found]))


def format_title(manifest: Manifest) -> str:
    height, width = manifest.preprocessing.size
    names = {"shvit_s1": "SHViT-S1", "shvit_s2": "SHViT-S2", "shvit_s3": "SHViT-S3", "shvit_s4": "SHViT-S4"}
    return (
        f"{names.get(manifest.model.variant, 'SHViT')} for phones, {manifest.model.classes} classes, {height}x{width}"
    )


def format_introduction(manifest: Manifest) -> str:
    version = escape_text(manifest.versions.get("shvit-mobile", ""))
    return (
        f"A [SHViT](https://arxiv.org/abs/2401.16456) ({format_code(manifest.model.variant)}) that classifies images, "
        f"exported from {format_code(manifest.model.source)} by shvit-mobile {version}. "
        "Each artifact was loaded and run once where it was made."
    )


def format_artifacts(manifests: Iterable[Manifest]) -> Iterator[str]:
    yield format_table(
        ("file", "target", "precision", "MB", "int8 layers", "SHA-256"),
        (
            (
                format_code(manifest.artifact.name),
                TARGET_NAMES[manifest.target],
                manifest.precision_name,
                f"{manifest.artifact.bytes / 1e6:.2f}",
                str(manifest.inventory.quantized_layers),
                format_code(manifest.artifact.sha256),
            )
            for manifest in manifests
        ),
    )
    for manifest in manifests:
        if manifest.delegation:
            yield f"{format_code(manifest.artifact.name)}: {' '.join(describe_delegation(manifest.delegation))}"


def format_drift(manifests: Sequence[Manifest]) -> Iterator[str]:
    """The rows, what their `how` means, and which artifacts nobody compared."""
    rows = [manifest.drift for manifest in manifests if manifest.drift]
    if rows:
        labelled = any(row.top1 for row in rows)
        yield (
            "Each artifact against the float checkpoint, on the same images. Intervals are 95%: Wilson's for shares, "
            "Tango's for the paired drop."
        )
        headings = ("file", "how", "engine", "images", *(("top-1 %", "drop, points") if labelled else ()))
        yield format_table(
            (*headings, "agreement %", "SQNR dB", "max error", "mean KL"),
            (format_drift_cells(row, labelled) for row in rows),
        )
        yield "\n".join(
            f"- `{how}`: {words}." for how, words in EXECUTION_DESCRIPTIONS.items() if how in {row.how for row in rows}
        )
    without = [format_code(manifest.artifact.name) for manifest in manifests if manifest.drift is None]
    if without:
        yield f"Not compared with the float model on images: {', '.join(without)}."


def format_drift_cells(row: DriftRow, labelled: bool) -> tuple[str, ...]:
    return (
        format_code(row.artifact),
        row.how,
        escape_text(row.engine),
        str(row.images),
        *((format_share(row.top1), format_drop(row)) if labelled else ()),
        format_share(row.agreement),
        "∞" if row.sqnr_db == float("inf") else f"{row.sqnr_db:.1f}",
        f"{row.max_abs_error:.2g}",
        f"{row.mean_kl:.1g}",
    )


def format_device_results(manifests: Sequence[Manifest], reports: Iterable[DeviceReport]) -> Iterator[str]:
    """What devices measured of these very files, made-up reports marked as such."""
    known = {manifest.artifact.sha256: manifest.artifact.name for manifest in manifests}
    found = [(report, result) for report in reports for result in report.results if result.artifact_sha256 in known]
    if not found:
        yield "No device has measured these artifacts: nothing is known here of their speed."
        return
    yield "Milliseconds an inference, of the very files above. `golden`: the device's answers to known pictures."
    yield format_table(
        ("device", "system", "file", "unit", "p50", "p99", "golden"),
        (
            (
                escape_text(get_device_name(report)) + (" **(fixture, not measured)**" if report.fixture else ""),
                escape_text(report.device.system),
                format_code(known[result.artifact_sha256 or ""]),
                format_compute_unit(report, result),
                f"{result.latency.p50:.2f}",
                f"{result.latency.p99:.2f}",
                NO_VALUE if result.golden is None else "passed" if result.golden.passed else "**failed**",
            )
            for report, result in found
        ),
    )


def format_usage(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Preprocessing, inputs and labels."""
    first = manifests[0]
    height, width = first.preprocessing.size
    order = "" if first.preprocessing.channel_order == "rgb" else ", channels in the order blue, green, red"
    yield (
        f"Resize the picture ({first.preprocessing.interpolation}) so that the centre crop of {height}x{width} keeps "
        f"{100 * first.preprocessing.crop_ratio:g}% of its tighter side{order}."
    )
    yield "\n".join(
        f"- {format_code(manifest.artifact.name)} takes {describe_input(manifest)}." for manifest in manifests
    )
    shown = ", ".join(escape_text(label) for label in first.labels[:10])
    more = ", …" if len(first.labels) > 10 else ""
    yield f"Classes, in the order of the logits: {shown}{more}. The manifests have all of them."


def describe_input(manifest: Manifest) -> str:
    given, model = manifest.input, manifest.preprocessing
    shape = " x ".join(str(side) if side else "any" for side in given.shape)
    values = (
        "from 0 to 255 (normalisation is inside)"
        if given.values == "pixels"
        else f"normalised as (pixel / 255 - mean) / std, mean {model.mean}, std {model.std}"
    )
    blocks = ", 2x2 blocks stacked in channels" if given.layout == "space-to-depth" else ""
    return f"the {given.kind} `{given.name}`, {given.dtype} {shape}{blocks}, {values}"


def format_provenance(manifests: Sequence[Manifest]) -> Iterator[str]:
    first = manifests[0]
    yield (
        f"Checkpoint: {format_code(first.model.source)} ({escape_text(first.model.dialect)} layout), SHA-256 "
        f"{format_code(first.model.checkpoint_sha256)}. BatchNorm is folded, which was proven in float64."
    )
    yield "\n".join(f"- {format_code(manifest.artifact.name)}: {describe_recipe(manifest)}" for manifest in manifests)
    versions = {name: version for manifest in manifests for name, version in manifest.versions.items()}
    yield f"Versions: {', '.join(f'{escape_text(name)} {escape_text(version)}' for name, version in versions.items())}."


def describe_recipe(manifest: Manifest) -> str:
    recipe, seen = manifest.recipe, manifest.recipe.calibration
    kept = f", {', '.join(recipe.float_kinds)} left in float" if recipe.float_kinds else ""
    besides = f", and besides {', '.join(map(format_code, recipe.float_layers))}" if recipe.float_layers else ""
    calibrated = (
        f", calibrated ({recipe.observer}) on {seen.count} images of {format_code(seen.source)}, SHA-256 {seen.sha256[:12]}…"
        if seen
        else ""
    )
    return f"{recipe.precision_name}{kept}{besides}{calibrated}."


def format_share(value: ProportionEstimate | None) -> str:
    """In percent, with its interval."""
    if value is None:
        return NO_VALUE
    return f"{100 * value.value:.2f} ({100 * value.low:.1f}–{100 * value.high:.1f})"


def format_drop(row: DriftRow) -> str:
    if row.top1_drop is None or row.top1_drop_interval is None:
        return NO_VALUE
    low, high = row.top1_drop_interval
    return f"{row.top1_drop:.2f} ({low:.2f} to {high:.2f})"


def format_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape_text(value: str) -> str:
    """Text from outside in which nothing is Markdown or HTML, on one line."""
    return re.sub(r"([\\`*_{}\[\]|!~])", r"\\\1", escape(collapse_whitespace(value), quote=False))


def format_code(value: str) -> str:
    """Text from outside as code, on one line; a backtick or a bar would end it or its cell."""
    return f"`{collapse_whitespace(value).replace('`', chr(39)).replace('|', '¦')}`"


def collapse_whitespace(value: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in value).split())

"""`shvit-mobile inspect`: prints what is inside an artifact or a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from shvit_mobile.errors import NotSupported
from shvit_mobile.report.formatting import format_megabytes, format_percent, format_significant, format_target

from . import options as opt
from .console import print_json, print_note, print_table
from .errors import GATE_FAILED
from .results import collect_sizes, to_contract_json
from .tables import build_drift_tables, build_pairs_table, create_table, format_cell, format_size

if TYPE_CHECKING:
    from rich.table import Table

    from shvit_mobile.contracts.artifact import Artifact
    from shvit_mobile.contracts.manifest import Inventory, Manifest
    from shvit_mobile.contracts.preprocessing import Preprocessing
    from shvit_mobile.runtimes.apple_profiler import OperatorPlacement


def inspect(
    path: opt.PathArgument,
    weights: opt.Weights = None,
    sha256: opt.Sha256 = None,
    model: opt.Model = None,
    compute_plan: opt.ComputePlan = False,
    goldens: opt.Goldens = False,
    as_json: opt.Json = False,
) -> None:
    """Print what is inside an artifact or a checkpoint.

    Operators, dtypes, bytes, delegation, labels, preprocessing, versions, golden logits and drift.
    """
    from shvit_mobile.contracts.artifact import get_manifest_path
    from shvit_mobile.contracts.manifest import TARGET_SUFFIXES
    from shvit_mobile.targets.stored_facts import open_artifact

    file = Path(path)
    if compute_plan:
        _print_compute_plan(file, as_json)
    elif goldens:
        _print_golden_check(open_artifact(file), as_json)
    elif file.suffix not in TARGET_SUFFIXES.values():
        _print_checkpoint(path, weights, sha256, model, as_json)
    elif file.exists() and not get_manifest_path(file).exists():
        _print_bare_artifact(file, as_json)
    else:
        _print_artifact(open_artifact(file), as_json)


def _print_artifact(artifact: Artifact, as_json: bool) -> None:
    """Print an artifact with its manifest."""
    manifest = artifact.manifest
    for sentence in artifact.notes:
        print_note(f"note: {sentence}")
    if as_json:
        print_json({"path": str(artifact.path), "manifest": to_contract_json(manifest), "notes": artifact.notes})
        return
    print_table(
        build_pairs_table(artifact.path.name, _describe_manifest(manifest)),
        "",
        _build_operator_table(manifest.inventory),
        "",
        _build_dtype_table(manifest.inventory),
    )
    if manifest.delegation and manifest.delegation.left_operators:
        print_table(
            "", _build_count_table("Not delegated: run by the portable kernels", manifest.delegation.left_operators)
        )
    if manifest.drift:
        print_table("", *build_drift_tables([manifest.drift], collect_sizes([artifact])))


def _print_golden_check(artifact: Artifact, as_json: bool) -> None:
    """Run the artifact on its goldens on this machine; exit with status 1 if it fails them."""
    from shvit_mobile.bench.golden_check import check_goldens, format_golden_check
    from shvit_mobile.runtimes import open_runner

    runner = open_runner(artifact)
    check = check_goldens(artifact, runner)
    if as_json:
        print_json(
            {"path": str(artifact.path), "engine": runner.engine, "passed": check.passed, **to_contract_json(check)}
        )
    else:
        print_table(f"{artifact.path.name}, goldens on {runner.engine}: {format_golden_check(check)}.")
    if not check.passed:
        raise typer.Exit(GATE_FAILED)


def _print_compute_plan(path: Path, as_json: bool) -> None:
    """Print the device on which Core ML plans to run each operator of a package."""
    if path.suffix != ".mlpackage":
        raise NotSupported(
            f"`compute_plan` is given for {path}.",
            why="Only Core ML packages (.mlpackage) have one.",
            parameter="compute_plan",
        )

    from shvit_mobile.contracts.artifact import get_manifest_path
    from shvit_mobile.runtimes.apple_profiler import SkippedMeasurement, load_compute_plan
    from shvit_mobile.targets.stored_facts import open_artifact

    if not path.exists() or get_manifest_path(path).exists():
        open_artifact(path)
    plan = load_compute_plan(path)
    if as_json:
        skipped = isinstance(plan, SkippedMeasurement)
        values = asdict(plan) if isinstance(plan, SkippedMeasurement) else [asdict(placement) for placement in plan]
        print_json({"path": str(path), "skipped" if skipped else "compute_plan": values})
    elif isinstance(plan, SkippedMeasurement):
        print_note(f"compute plan {plan}")
    else:
        print_table(_build_compute_plan_table(plan))


def _build_compute_plan_table(plan: Sequence[OperatorPlacement]) -> Table:
    """Build a table of the operators, without constants, in the order of the program."""
    table = create_table("Compute plan", "operator", "value", "device", "could run on")
    table.add_column("cost", justify="right")
    for placed in plan:
        if placed.device is not None:
            cost = "" if placed.cost is None else f"{format_percent(placed.cost)}%"
            cells = (placed.operator, placed.value, placed.device, ", ".join(placed.supported))
            table.add_row(*map(format_cell, cells), cost)
    return table


def _print_bare_artifact(path: Path, as_json: bool) -> None:
    """Print an artifact that has no manifest."""
    from shvit_mobile.contracts.fingerprints import compute_sha256, compute_size_bytes
    from shvit_mobile.contracts.manifest import TARGET_SUFFIXES
    from shvit_mobile.pipeline.lower import read_contents
    from shvit_mobile.targets.delegation import describe_delegation

    target = next(target for target, suffix in TARGET_SUFFIXES.items() if suffix == path.suffix)
    inventory, delegation = read_contents(path, target)
    known = {"target": target, "bytes": compute_size_bytes(path), "sha256": compute_sha256(path)}
    print_note(
        f"note: its manifest {path.stem}.manifest.json is missing, so labels, preprocessing and drift are unknown."
    )
    if as_json:
        more = {"delegation": to_contract_json(delegation)} if delegation else {}
        print_json({"path": str(path), "manifest": None, **known, "inventory": to_contract_json(inventory), **more})
    else:
        facts = {
            **known,
            "int8 layers": inventory.quantized_layers,
            "delegation": delegation and " ".join(describe_delegation(delegation)),
        }
        tables = (build_pairs_table(path.name, facts), _build_operator_table(inventory), _build_dtype_table(inventory))
        print_table(tables[0], "", tables[1], "", tables[2])


def _print_checkpoint(source: str, weights: str | None, sha256: str | None, variant: str | None, as_json: bool) -> None:
    """Print a checkpoint, in any layout."""
    from shvit_mobile.families.checkpoints import load_checkpoint

    trained = load_checkpoint(source, variant=variant, weights=weights, sha256=sha256)
    for sentence in trained.notes:
        print_note(f"note: {sentence}")
    tensors, config = trained.model.state_dict(), getattr(trained.model, "config", None)
    known = {
        "family": trained.family.name,
        "variant": trained.variant,
        "layout": trained.dialect,
        "classes": trained.classes,
        "tensors": len(tensors),
        "parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
        "sha256": trained.sha256,
    }
    if as_json:
        more = {
            "config": vars(config) if is_dataclass(config) else None,
            "preprocessing": vars(trained.preprocessing),
        }
        found = {
            "weights": trained.weights,
            "weights_found": trained.weights_found,
            "training_arguments": {place: str(value) for place, value in trained.training_arguments.items()},
            "notes": trained.notes,
        }
        print_json({"path": source, **known, "labels": trained.labels, **more, **found})
        return
    print_table(
        build_pairs_table(
            trained.source,
            {
                **known,
                "labels": _format_labels(trained.labels),
                **_describe_preprocessing(trained.preprocessing),
                "models found": ", ".join(trained.weights_found),
                "training arguments": _format_values(trained.training_arguments),
            },
        )
    )


def _describe_manifest(manifest: Manifest) -> dict[str, object]:
    """Return the fields of a manifest as text."""
    from shvit_mobile.targets.delegation import describe_delegation

    inputs, outputs, golden = manifest.input, manifest.output, manifest.golden
    names = (*outputs.names, outputs.probabilities, outputs.label)
    shapes = {one.name: f" {'x'.join(map(str, one.shape))}" for one in outputs.maps}
    return {
        "task": manifest.task,
        "target": format_target(manifest.qualified_target) if manifest.is_unproven else manifest.target,
        "precision": manifest.precision_name,
        "size": f"{format_megabytes(manifest.artifact.bytes)} MB",
        "SHA-256": manifest.artifact.sha256,
        "made from": f"{manifest.model.variant} in {manifest.model.source} ({manifest.model.dialect} layout)",
        "checkpoint": manifest.model.checkpoint_sha256,
        "labels": _format_labels(manifest.labels) if manifest.labels else None,
        **_describe_preprocessing(manifest.preprocessing),
        "all sizes": ", ".join(f"{format_size(one.size)} ({one.method})" for one in manifest.sizes) or None,
        "input": f"{inputs.name}: {inputs.kind}, {inputs.values}, {inputs.dtype} {tuple(inputs.shape)}",
        "outputs": ", ".join(f"{name}{shapes.get(name, '')}" for name in names if name),
        "int8 layers": manifest.inventory.quantized_layers,
        "delegation": manifest.delegation and " ".join(describe_delegation(manifest.delegation)),
        "golden": golden
        and f"{'values of maps' if golden.sampled_outputs else 'logits'} of the picture '{golden.picture}' "
        f"({golden.how}), within {format_significant(golden.tolerance)}",
        "goldens": manifest.goldens and manifest.goldens.name,
        "options": _format_values(manifest.options),
        "versions": _format_values(manifest.versions),
    }


def _describe_preprocessing(preprocessing: Preprocessing) -> dict[str, object]:
    """Return the preprocessing as text."""
    return {
        "image size": format_size(preprocessing.size),
        "resize, filter": f"{preprocessing.resize_mode}, {preprocessing.interpolation}",
        "padding": preprocessing.padding and f"{preprocessing.padding}, {preprocessing.padding_value}",
        "crop": f"{preprocessing.crop_ratio:g}",
        "channels": preprocessing.channel_order,
        "mean, std": f"{preprocessing.mean}, {preprocessing.std}",
    }


def _build_operator_table(inventory: Inventory) -> Table:
    return _build_count_table("Operators", inventory.operators)


def _build_dtype_table(inventory: Inventory) -> Table:
    """Build a table of the bytes of the weights in each dtype."""
    table = create_table("Weights", "dtype")
    table.add_column("bytes", justify="right")
    table.add_column("share", justify="right")
    total = sum(inventory.weight_bytes.values()) or 1
    for dtype, size in _sort_descending(inventory.weight_bytes):
        table.add_row(format_cell(dtype), f"{size:,}", f"{format_percent(size / total)}%")
    return table


def _build_count_table(title: str, numbers: Mapping[str, int]) -> Table:
    """Build a table of counts, the largest first."""
    table = create_table(title, "operator")
    table.add_column("count", justify="right")
    for name, count in _sort_descending(numbers):
        table.add_row(format_cell(name), str(count))
    return table


def _sort_descending(numbers: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(numbers.items(), key=lambda item: (-item[1], item[0]))


def _format_labels(labels: Sequence[str]) -> str:
    """Return the number of labels, and the first of them."""
    more = ", …" if len(labels) > 5 else ""
    return f"{len(labels)}: {', '.join(labels[:5])}{more}"


def _format_values(values: Mapping[str, Any]) -> str | None:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or None

"""`shvit-mobile inspect`: what is inside an artifact or a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shvit_mobile.errors import InvalidConfig

from .console import print_json, print_note, print_table
from .errors import GATE_FAILED
from .options import JsonOption
from .results import collect_sizes, to_contract_json
from .tables import build_drift_table, build_pairs_table, create_table, format_cell, format_megabytes, format_size

if TYPE_CHECKING:
    from rich.table import Table

    from shvit_mobile.contracts.artifact import Artifact
    from shvit_mobile.contracts.manifest import Delegation, Inventory, Manifest, Target
    from shvit_mobile.contracts.preprocessing import Preprocessing
    from shvit_mobile.runtimes.apple_profiler import OperatorPlacement


def inspect(
    path: Annotated[str, typer.Argument(metavar="PATH", help="An artifact, or a checkpoint.")],
    compute_plan: Annotated[
        bool, typer.Option("--compute-plan", help="The device that runs each operator of a Core ML package; on a Mac.")
    ] = False,
    goldens: Annotated[
        bool, typer.Option("--goldens", help="Run the artifact on its goldens. Exit status 1 where it fails them.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what is inside an artifact or a checkpoint.

    Operators, dtypes, bytes, delegation, labels, preprocessing, versions, golden logits and drift.
    """
    from shvit_mobile.contracts.artifact import Artifact, get_manifest_path
    from shvit_mobile.contracts.manifest import TARGET_SUFFIXES

    file = Path(path)
    if compute_plan:
        print_compute_plan(file, as_json)
    elif goldens:
        print_golden_check(Artifact.open(file), as_json)
    elif file.suffix not in TARGET_SUFFIXES.values():
        print_checkpoint(path, as_json)
    elif file.exists() and not get_manifest_path(file).exists():
        print_bare_artifact(file, as_json)
    else:
        print_artifact(Artifact.open(file), as_json)


def print_artifact(artifact: Artifact, as_json: bool) -> None:
    """An artifact with its manifest, whose SHA-256 was found right."""
    manifest = artifact.manifest
    if as_json:
        print_json({"path": str(artifact.path), "manifest": to_contract_json(manifest)})
        return
    print_table(
        build_pairs_table(artifact.path.name, describe_manifest(manifest)),
        "",
        build_operator_table(manifest.inventory),
        "",
        build_dtype_table(manifest.inventory),
    )
    if manifest.delegation and manifest.delegation.left_operators:
        print_table("", build_count_table("Left to the portable kernels", manifest.delegation.left_operators))
    if manifest.drift:
        print_table("", build_drift_table([manifest.drift], collect_sizes([artifact])))


def print_golden_check(artifact: Artifact, as_json: bool) -> None:
    """What the artifact's goldens come to on this machine; ends with status 1 where that is something else."""
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


def print_compute_plan(path: Path, as_json: bool) -> None:
    """Where Core ML means to run each operator of a package."""
    if path.suffix != ".mlpackage":
        raise InvalidConfig(f"--compute-plan is given for {path}.", why="Only Core ML packages (.mlpackage) have one.")

    from shvit_mobile.contracts.artifact import Artifact, get_manifest_path
    from shvit_mobile.runtimes.apple_profiler import SkippedMeasurement, load_compute_plan

    if not path.exists() or get_manifest_path(path).exists():
        Artifact.open(path)
    plan = load_compute_plan(path)
    if as_json:
        skipped = isinstance(plan, SkippedMeasurement)
        told = asdict(plan) if isinstance(plan, SkippedMeasurement) else [asdict(placement) for placement in plan]
        print_json({"path": str(path), "skipped" if skipped else "compute_plan": told})
    elif isinstance(plan, SkippedMeasurement):
        print_note(f"compute plan {plan}")
    else:
        print_table(build_compute_plan_table(plan))


def build_compute_plan_table(plan: Sequence[OperatorPlacement]) -> Table:
    """Each operator but constants, in the order of the program."""
    table = create_table("Compute plan", "operator", "value", "device", "could run on")
    table.add_column("cost", justify="right")
    for placed in plan:
        if placed.device is not None:
            cost = "" if placed.cost is None else f"{100 * placed.cost:.1f}%"
            cells = (placed.operator, placed.value, placed.device, ", ".join(placed.supported))
            table.add_row(*map(format_cell, cells), cost)
    return table


def print_bare_artifact(path: Path, as_json: bool) -> None:
    """An artifact without a manifest."""
    from shvit_mobile.contracts.fingerprints import compute_sha256, compute_size_bytes
    from shvit_mobile.contracts.manifest import TARGET_SUFFIXES
    from shvit_mobile.targets.delegation import describe_delegation

    target = next(target for target, suffix in TARGET_SUFFIXES.items() if suffix == path.suffix)
    found, share = read_contents(path, target)
    known = {"target": target, "bytes": compute_size_bytes(path), "sha256": compute_sha256(path)}
    told = {"delegation": to_contract_json(share)} if share else {}
    print_note(f"Its manifest is missing ({path.stem}.manifest.json): no labels, preprocessing or drift.")
    if as_json:
        print_json({"path": str(path), "manifest": None, **known, "inventory": to_contract_json(found), **told})
    else:
        words = {
            **known,
            "int8 layers": found.quantized_layers,
            "delegation": share and " ".join(describe_delegation(share)),
        }
        print_table(build_pairs_table(path.name, words), "", build_operator_table(found), "", build_dtype_table(found))


def read_contents(path: Path, target: Target) -> tuple[Inventory, Delegation | None]:
    """What the file itself tells."""
    if target == "executorch":
        from shvit_mobile.targets.pte import inspect_program

        program = inspect_program(path)
        return program.inventory, program.delegation

    from shvit_mobile.pipeline.lower import TARGET_MODULES

    return import_module(TARGET_MODULES[target][0]).read_inventory(path), None


def print_checkpoint(source: str, as_json: bool) -> None:
    """A checkpoint, in any of its layouts."""
    from shvit_mobile.families.checkpoints import load_checkpoint

    trained = load_checkpoint(source)
    tensors = trained.model.state_dict()
    known = {
        "variant": trained.variant,
        "layout": trained.dialect,
        "classes": trained.model.config.classes,
        "tensors": len(tensors),
        "parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
        "sha256": trained.sha256,
    }
    if as_json:
        told = {"config": vars(trained.model.config), "preprocessing": vars(trained.preprocessing)}
        print_json({"path": source, **known, "labels": trained.labels, **told})
        return
    print_table(
        build_pairs_table(
            trained.source,
            {**known, "labels": format_labels(trained.labels), **describe_preprocessing(trained.preprocessing)},
        )
    )


def describe_manifest(manifest: Manifest) -> dict[str, object]:
    """A manifest's fields in words."""
    from shvit_mobile.targets.delegation import describe_delegation

    given, answered, golden = manifest.input, manifest.output, manifest.golden
    return {
        "target": manifest.target,
        "precision": manifest.precision_name,
        "size": f"{format_megabytes(manifest.artifact.bytes)} MB",
        "SHA-256": manifest.artifact.sha256,
        "made from": f"{manifest.model.variant} in {manifest.model.source} ({manifest.model.dialect} layout)",
        "checkpoint": manifest.model.checkpoint_sha256,
        "labels": format_labels(manifest.labels),
        **describe_preprocessing(manifest.preprocessing),
        "input": f"{given.name}: {given.kind}, {given.values}, {given.dtype} {tuple(given.shape)}",
        "outputs": ", ".join(name for name in (answered.logits, answered.probabilities, answered.label) if name),
        "int8 layers": manifest.inventory.quantized_layers,
        "delegation": manifest.delegation and " ".join(describe_delegation(manifest.delegation)),
        "golden": golden and f"logits of the picture '{golden.picture}' ({golden.how}), within {golden.tolerance:.2g}",
        "goldens": manifest.goldens and manifest.goldens.name,
        "options": format_values(manifest.options),
        "versions": format_values(manifest.versions),
    }


def describe_preprocessing(preprocessing: Preprocessing) -> dict[str, object]:
    """How pictures are prepared, in words."""
    return {
        "image size": format_size(preprocessing.size),
        "crop, filter": f"{preprocessing.crop_ratio:g}, {preprocessing.interpolation}",
        "channels": preprocessing.channel_order,
        "mean, std": f"{preprocessing.mean}, {preprocessing.std}",
    }


def build_operator_table(inventory: Inventory) -> Table:
    return build_count_table("Operators", inventory.operators)


def build_dtype_table(inventory: Inventory) -> Table:
    """The bytes of the weights in each dtype."""
    table = create_table("Weights", "dtype")
    table.add_column("bytes", justify="right")
    table.add_column("share", justify="right")
    total = sum(inventory.weight_bytes.values()) or 1
    for dtype, size in sort_descending(inventory.weight_bytes):
        table.add_row(format_cell(dtype), f"{size:,}", f"{100 * size / total:.1f}%")
    return table


def build_count_table(title: str, numbers: Mapping[str, int]) -> Table:
    """How many of each, the most first."""
    table = create_table(title, "operator")
    table.add_column("count", justify="right")
    for name, count in sort_descending(numbers):
        table.add_row(format_cell(name), str(count))
    return table


def sort_descending(numbers: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(numbers.items(), key=lambda item: (-item[1], item[0]))


def format_labels(labels: Sequence[str]) -> str:
    """How many labels there are, and the first of them."""
    more = ", …" if len(labels) > 5 else ""
    return f"{len(labels)}: {', '.join(labels[:5])}{more}"


def format_values(values: Mapping[str, Any]) -> str | None:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or None

"""`shvit-mobile inspect`: what is inside an artifact or a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shvit_mobile.errors import WrongConfig

from .console import data, note, show
from .errors import GATE_FAILED
from .options import Json
from .results import contract_json, sizes
from .tables import by, cell, drift_table, megabytes, pairs, titled

if TYPE_CHECKING:
    from rich.table import Table

    from shvit_mobile.contracts.artifact import Artifact
    from shvit_mobile.contracts.manifest import Delegation, Inventory, Manifest, Target
    from shvit_mobile.contracts.preprocessing import Preprocessing
    from shvit_mobile.runtimes.apple_profiler import Placement


def inspect(
    path: Annotated[str, typer.Argument(metavar="PATH", help="An artifact, or a checkpoint.")],
    compute_plan: Annotated[
        bool, typer.Option("--compute-plan", help="The device that runs each operator of a Core ML package; on a Mac.")
    ] = False,
    goldens: Annotated[
        bool, typer.Option("--goldens", help="Run the artifact on its goldens. Exit status 1 where it fails them.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what is inside an artifact or a checkpoint.

    Operators, dtypes, bytes, delegation, labels, preprocessing, versions, golden logits and drift.
    """
    from shvit_mobile.contracts.artifact import Artifact, manifest_path
    from shvit_mobile.contracts.manifest import TARGETS

    file = Path(path)
    if compute_plan:
        show_plan(file, as_json)
    elif goldens:
        show_goldens(Artifact.open(file), as_json)
    elif file.suffix not in TARGETS.values():
        show_checkpoint(path, as_json)
    elif file.exists() and not manifest_path(file).exists():
        show_bare(file, as_json)
    else:
        show_artifact(Artifact.open(file), as_json)


def show_artifact(artifact: Artifact, as_json: bool) -> None:
    """An artifact with its manifest, whose SHA-256 was found right."""
    manifest = artifact.manifest
    if as_json:
        data({"path": str(artifact.path), "manifest": contract_json(manifest)})
        return
    show(pairs(artifact.path.name, facts(manifest)), "", operators(manifest.inventory), "", dtypes(manifest.inventory))
    if manifest.delegation and manifest.delegation.left_operators:
        show("", counts("Left to the portable kernels", manifest.delegation.left_operators))
    if manifest.drift:
        show("", drift_table([manifest.drift], sizes([artifact])))


def show_goldens(artifact: Artifact, as_json: bool) -> None:
    """What the artifact's goldens come to on this machine; ends with status 1 where that is something else."""
    from shvit_mobile.bench.golden_check import check_goldens, in_words
    from shvit_mobile.runtimes import open_runner

    runner = open_runner(artifact)
    check = check_goldens(artifact, runner)
    if as_json:
        data({"path": str(artifact.path), "engine": runner.engine, "passed": check.passed, **contract_json(check)})
    else:
        show(f"{artifact.path.name}, goldens on {runner.engine}: {in_words(check)}.")
    if not check.passed:
        raise typer.Exit(GATE_FAILED)


def show_plan(path: Path, as_json: bool) -> None:
    """Where Core ML means to run each operator of a package."""
    if path.suffix != ".mlpackage":
        raise WrongConfig(f"--compute-plan is given for {path}.", why="Only Core ML packages (.mlpackage) have one.")

    from shvit_mobile.contracts.artifact import Artifact, manifest_path
    from shvit_mobile.runtimes.apple_profiler import Skipped, compute_plan

    if not path.exists() or manifest_path(path).exists():
        Artifact.open(path)
    plan = compute_plan(path)
    if as_json:
        skipped = isinstance(plan, Skipped)
        told = asdict(plan) if isinstance(plan, Skipped) else [asdict(placement) for placement in plan]
        data({"path": str(path), "skipped" if skipped else "compute_plan": told})
    elif isinstance(plan, Skipped):
        note(f"compute plan {plan}")
    else:
        show(plan_table(plan))


def plan_table(plan: Sequence[Placement]) -> Table:
    """Each operator but constants, in the order of the program."""
    table = titled("Compute plan", "operator", "value", "device", "could run on")
    table.add_column("cost", justify="right")
    for placed in plan:
        if placed.device is not None:
            cost = "" if placed.cost is None else f"{100 * placed.cost:.1f}%"
            cells = (placed.operator, placed.value, placed.device, ", ".join(placed.supported))
            table.add_row(*map(cell, cells), cost)
    return table


def show_bare(path: Path, as_json: bool) -> None:
    """An artifact without a manifest."""
    from shvit_mobile.contracts.fingerprints import sha256, size_in_bytes
    from shvit_mobile.contracts.manifest import TARGETS
    from shvit_mobile.targets.delegation import sentences

    target = next(target for target, suffix in TARGETS.items() if suffix == path.suffix)
    found, share = contents(path, target)
    known = {"target": target, "bytes": size_in_bytes(path), "sha256": sha256(path)}
    told = {"delegation": contract_json(share)} if share else {}
    note(f"Its manifest is missing ({path.stem}.manifest.json): no labels, preprocessing or drift.")
    if as_json:
        data({"path": str(path), "manifest": None, **known, "inventory": contract_json(found), **told})
    else:
        words = {**known, "int8 layers": found.quantized_layers, "delegation": share and " ".join(sentences(share))}
        show(pairs(path.name, words), "", operators(found), "", dtypes(found))


def contents(path: Path, target: Target) -> tuple[Inventory, Delegation | None]:
    """What the file itself tells."""
    if target == "executorch":
        from shvit_mobile.targets.pte import inspect_program

        program = inspect_program(path)
        return program.inventory, program.delegation

    from shvit_mobile.pipeline.lower import MODULES

    return import_module(MODULES[target][0]).inventory(path), None


def show_checkpoint(source: str, as_json: bool) -> None:
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
        data({"path": source, **known, "labels": trained.labels, **told})
        return
    show(pairs(trained.source, {**known, "labels": some(trained.labels), **seen(trained.preprocessing)}))


def facts(manifest: Manifest) -> dict[str, object]:
    """A manifest's fields in words."""
    from shvit_mobile.targets.delegation import sentences

    given, answered, golden = manifest.input, manifest.output, manifest.golden
    return {
        "target": manifest.target,
        "precision": manifest.precision_name,
        "size": f"{megabytes(manifest.artifact.bytes)} MB",
        "SHA-256": manifest.artifact.sha256,
        "made from": f"{manifest.model.variant} in {manifest.model.source} ({manifest.model.dialect} layout)",
        "checkpoint": manifest.model.checkpoint_sha256,
        "labels": some(manifest.labels),
        **seen(manifest.preprocessing),
        "input": f"{given.name}: {given.kind}, {given.values}, {given.dtype} {tuple(given.shape)}",
        "outputs": ", ".join(name for name in (answered.logits, answered.probabilities, answered.label) if name),
        "int8 layers": manifest.inventory.quantized_layers,
        "delegation": manifest.delegation and " ".join(sentences(manifest.delegation)),
        "golden": golden and f"logits of the picture '{golden.picture}' ({golden.how}), within {golden.tolerance:.2g}",
        "goldens": manifest.goldens and manifest.goldens.name,
        "options": worded(manifest.options),
        "versions": worded(manifest.versions),
    }


def seen(preprocessing: Preprocessing) -> dict[str, object]:
    """How pictures are prepared, in words."""
    return {
        "image size": by(preprocessing.size),
        "crop, filter": f"{preprocessing.crop_ratio:g}, {preprocessing.interpolation}",
        "channels": preprocessing.channel_order,
        "mean, std": f"{preprocessing.mean}, {preprocessing.std}",
    }


def operators(inventory: Inventory) -> Table:
    return counts("Operators", inventory.operators)


def dtypes(inventory: Inventory) -> Table:
    """The bytes of the weights in each dtype."""
    table = titled("Weights", "dtype")
    table.add_column("bytes", justify="right")
    table.add_column("share", justify="right")
    total = sum(inventory.weight_bytes.values()) or 1
    for dtype, size in descending(inventory.weight_bytes):
        table.add_row(cell(dtype), f"{size:,}", f"{100 * size / total:.1f}%")
    return table


def counts(title: str, numbers: Mapping[str, int]) -> Table:
    """How many of each, the most first."""
    table = titled(title, "operator")
    table.add_column("count", justify="right")
    for name, count in descending(numbers):
        table.add_row(cell(name), str(count))
    return table


def descending(numbers: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(numbers.items(), key=lambda item: (-item[1], item[0]))


def some(labels: Sequence[str]) -> str:
    """How many labels there are, and the first of them."""
    more = ", …" if len(labels) > 5 else ""
    return f"{len(labels)}: {', '.join(labels[:5])}{more}"


def worded(values: Mapping[str, Any]) -> str | None:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or None

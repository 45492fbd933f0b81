"""`shvit-mobile validate`: artifacts against the checkpoint they were made from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shvit_mobile.demo import TEST_IMAGES
from shvit_mobile.errors import UnknownArchitecture, WrongConfig

from .arguments import gate_of, images_to_compare, trained_model
from .console import data, note, show
from .options import CPUS, IMAGES, INSIDE, OUTPUT, Checkpoint, Json, LabelsCsv, MaxDrop, MinAgreement
from .progress import Steps
from .reports import check_layers, layer_reports, range_reports, reports_json, show_reports, with_ranges
from .results import conclude, contract_json, judged, sizes
from .tables import distance_line, drift_table

if TYPE_CHECKING:
    from shvit_mobile.contract import Contract
    from shvit_mobile.drift.compare import Reference
    from shvit_mobile.drift.report import Apart
    from shvit_mobile.drift.row import DriftRow
    from shvit_mobile.images.folders import ImageSet
    from shvit_mobile.images.preprocessing import Preprocessing
    from shvit_mobile.model.trained import TrainedModel
    from shvit_mobile.runtimes.arm64.cpus import CPU
    from shvit_mobile.targets.artifact import Artifact


def validate(
    artifacts: Annotated[
        list[Path], typer.Argument(metavar="ARTIFACT...", help="One or more .mlpackage, .pte or .onnx.")
    ],
    checkpoint: Checkpoint = None,
    images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Images to compare on, in a folder for each class.", rich_help_panel=IMAGES),
    ] = None,
    labels_csv: LabelsCsv = None,
    count: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only so many of them.", rich_help_panel=IMAGES)
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Of the choice of images with --count.", rich_help_panel=IMAGES)
    ] = 0,
    layers: Annotated[
        bool,
        typer.Option(
            "--layers",
            help="Compare layer by layer too, on 32 of the images: free-running, and teacher-forced, where each layer "
            "is given the float model's values. Core ML and ONNX.",
            rich_help_panel=INSIDE,
        ),
    ] = False,
    ranges: Annotated[
        bool,
        typer.Option(
            "--ranges",
            help="Hold every intermediate value against fp16's range too. Exit status 1 where one overflows or an "
            "attention branch goes silent.",
            rich_help_panel=INSIDE,
        ),
    ] = False,
    arch: Annotated[
        str | None,
        typer.Option(
            metavar="arm64",
            help="Run each .pte on this instruction set too, emulated if need be: shvit-mobile doctor --install arm64.",
            rich_help_panel=CPUS,
        ),
    ] = None,
    cpu: Annotated[
        list[str] | None,
        typer.Option(
            metavar="neon|dotprod|i8mm",
            help="With --arch arm64: the newest instructions the emulated CPU has, as older and newer phones do; "
            "repeatable; else i8mm.",
            rich_help_panel=CPUS,
        ),
    ] = None,
    max_drop: MaxDrop = None,
    min_agreement: MinAgreement = None,
    write: Annotated[
        bool,
        typer.Option("--write", help="Put the figures into each artifact's manifest.", rich_help_panel=OUTPUT),
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare artifacts with their checkpoint on images."""
    gate = gate_of(max_drop, min_agreement)
    cpus = cpus_of(arch, cpu or [])
    if images is None and (checkpoint is not None or labels_csv is not None):
        raise WrongConfig(
            "No --images are given.",
            why="Artifact and checkpoint are compared on images.",
            hint="Add --images DIR with images, in a folder for each class.",
        )
    folder = images or TEST_IMAGES

    from shvit_mobile.targets.artifact import Artifact

    with Steps("Validate") as steps:
        with steps.step("Reading the artifacts"):
            opened = [Artifact.open(path) for path in artifacts]
        if layers:
            check_layers(opened)
        with steps.step("Reading the checkpoint"):
            trained = trained_model(checkpoint)
        sets = [
            images_to_compare(folder, labels_csv, artifact.manifest.labels, gate, count=count, seed=seed)
            for artifact in opened
        ]
        steps.expect(2 + (2 + layers + ranges) * len(opened) + len(cpus) * sum(map(runs_on_arm64, opened)))
        rows, distances = compared(opened, trained, sets, cpus, steps)
        layered = layer_reports(opened, trained, sets, seed, steps) if layers else []
        ranged = range_reports(opened, trained, sets, steps) if ranges else []
    if write:
        record(opened, [row for row in rows if row.cpu is None])
    verdict = with_ranges(judged(rows, gate), ranged)
    if as_json:
        figures: dict[str, Sequence[Contract]] = {"drift": rows, "apart": distances} if cpus else {"drift": rows}
        listed = {name: [contract_json(each) for each in some] for name, some in figures.items()}
        data({**listed, "gate": verdict and verdict.json(), **reports_json(layered, ranged)})
    else:
        show(drift_table(rows, sizes(opened)), *map(distance_line, distances))
        show_reports(layered, ranged)
    for artifact in opened:
        if cpus and not runs_on_arm64(artifact):
            note(f"{artifact.path.name} ran on this machine only: ExecuTorch artifacts alone run on emulated ARM64.")
    conclude(verdict)


def cpus_of(arch: str | None, names: list[str]) -> list[CPU]:
    """The CPUs to emulate: none without --arch, and none where this machine is ARM64 itself.

    Raises:
        ToolMissing: the emulation is not set up.
    """
    if arch is None and names:
        raise WrongConfig(
            "--cpu is given without --arch.", why="It says which CPU to emulate.", hint="Add --arch arm64."
        )
    if arch is None:
        return []
    UnknownArchitecture.chosen(arch, ["arm64"])

    from shvit_mobile.runtimes.arm64.cpus import DEFAULT_CPU, cpu_named, native
    from shvit_mobile.runtimes.arm64.sysroot import open_sysroot

    chosen = [cpu_named(name) for name in dict.fromkeys(names or [DEFAULT_CPU])]
    if native():
        note("This machine is ARM64 itself: nothing is emulated, 'native' is ARM64.")
        return []
    open_sysroot()
    return chosen


def runs_on_arm64(artifact: Artifact) -> bool:
    return artifact.manifest.target == "executorch"


def compared(
    artifacts: list[Artifact], trained: TrainedModel, sets: list[ImageSet], cpus: list[CPU], steps: Steps
) -> tuple[list[DriftRow], list[Apart]]:
    """A row for each artifact and, for ExecuTorch's, for each of `cpus`; and how far those are from this machine's.

    The float model runs once for all that prepare their images alike.
    """
    from shvit_mobile.drift.architectures import Remembered, on_arm64
    from shvit_mobile.drift.compare import check_classes, check_origin, compare, float_reference
    from shvit_mobile.runtimes import open_runner

    for artifact, images in zip(artifacts, sets, strict=True):
        check_origin(artifact, trained)
        check_classes(images, artifact, trained)
    references: dict[Preprocessing, Reference] = {}
    rows: list[DriftRow] = []
    distances: list[Apart] = []
    for artifact, images in zip(artifacts, sets, strict=True):
        preprocessing = artifact.manifest.preprocessing
        if preprocessing not in references:
            with steps.step("Running the float model") as tick:
                references[preprocessing] = float_reference(trained, images, preprocessing=preprocessing, progress=tick)
        reference, native = references[preprocessing], Remembered(open_runner(artifact))
        with steps.step(f"Running {artifact.path.name}") as tick:
            rows.append(compare(artifact, trained, images, runner=native, reference=reference, progress=tick))
        for cpu in cpus if runs_on_arm64(artifact) else []:
            with steps.step(f"Running {artifact.path.name} on ARM64 {cpu.name}") as tick:
                row, distance = on_arm64(
                    artifact, trained, images, cpu, native=native, reference=reference, progress=tick
                )
            rows.append(row)
            distances.append(distance)
    return rows, distances


def record(artifacts: list[Artifact], rows: list[DriftRow]) -> None:
    """Puts each row into its artifact's manifest."""
    from shvit_mobile.targets.lower import with_fields

    for artifact, row in zip(artifacts, rows, strict=True):
        with_fields(artifact, drift=row)

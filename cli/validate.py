"""`shvit-mobile validate`: artifacts against the checkpoint they were made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shvit_mobile.demo import TEST_IMAGES
from shvit_mobile.errors import UnknownArchitecture, WrongConfig

from .arguments import check_files, gate_of, images_to_compare, trained_model
from .changes import show_changes
from .console import data, note, show
from .options import CPUS, IMAGES, INSIDE, OUTPUT, Checkpoint, Json, LabelsCsv, MaxDrop, MinAgreement, Overwrite
from .progress import Steps
from .reports import check_layers, layer_reports, range_reports, show_reports, with_ranges
from .results import conclude, contract_json, judged, sizes, write_report
from .tables import distance_line, drift_table

if TYPE_CHECKING:
    from shvit_mobile.contracts.artifact import Artifact
    from shvit_mobile.contracts.drift_report import Apart, Changed
    from shvit_mobile.contracts.drift_row import DriftRow
    from shvit_mobile.contracts.preprocessing import Preprocessing
    from shvit_mobile.drift.compare import Reference
    from shvit_mobile.drift.ladder import Rung
    from shvit_mobile.families.trained_model import TrainedModel
    from shvit_mobile.images.image_set import ImageSet
    from shvit_mobile.runtimes.arm64.cpus import CPU


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
    ladder: Annotated[
        bool,
        typer.Option(
            "--ladder",
            help="Also the steps between: the deploy form, and each recipe's int8 or small weights, computed by "
            "PyTorch on the same images. Artifacts then follow as ONNX, Core ML, ExecuTorch.",
            rich_help_panel=INSIDE,
        ),
    ] = False,
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
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the drift report here (JSON).", rich_help_panel=OUTPUT)
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compare artifacts with their checkpoint on images."""
    gate = gate_of(max_drop, min_agreement)
    check_files(out, overwrite=overwrite)
    cpus = cpus_of(arch, cpu or [])
    if images is None and (checkpoint is not None or labels_csv is not None):
        raise WrongConfig(
            "No --images are given.",
            why="Artifact and checkpoint are compared on images.",
            hint="Add --images DIR with images, in a folder for each class.",
        )
    folder = images or TEST_IMAGES

    from shvit_mobile.contracts.artifact import Artifact

    with Steps("Validate") as steps:
        with steps.step("Reading the artifacts"):
            opened = [Artifact.open(path) for path in artifacts]
        if layers:
            check_layers(opened)
        with steps.step("Reading the checkpoint"):
            trained = trained_model(checkpoint)
            from shvit_mobile.drift.build_report import drift_report
            from shvit_mobile.drift.ladder import on_ladder, rungs
        opened = on_ladder(opened) if ladder else opened
        simulations = rungs(artifact.manifest for artifact in opened) if ladder else ()
        sets = [
            images_to_compare(folder, labels_csv, artifact.manifest.labels, gate, count=count, seed=seed)
            for artifact in opened
        ]
        ways = len({artifact.manifest.preprocessing for artifact in opened})
        steps.expect(
            3
            + ways
            + len(simulations)
            + (1 + layers + ranges) * len(opened)
            + len(cpus) * sum(map(runs_on_arm64, opened))
        )
        found = measured(opened, trained, sets, simulations, cpus, max_drop, steps)
        layered = layer_reports(opened, trained, sets, seed, steps) if layers else []
        ranged = range_reports(opened, trained, sets, steps) if ranges else []
        verdict = with_ranges(judged(found.rows, gate), ranged)
        with steps.step("Putting the report together"):
            report = drift_report(
                "validate",
                trained,
                sets[0],
                [*found.simulated, *found.rows],
                changed=found.changed,
                apart=found.distances,
                layers=layered,
                ranges=ranged,
                gate=verdict,
            )
    if write:
        record(opened, found.here)
    if out is not None:
        write_report(report, out, overwrite=overwrite)
    if as_json:
        data(contract_json(report))
    else:
        show(drift_table(report.rows, sizes(opened)), *map(distance_line, found.distances))
        show_changes(found.changed, found.here)
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


@dataclass(frozen=True)
class Measured:
    """What came of running everything.

    Attributes:
        simulated: a row for each rung that PyTorch computed.
        rows: one for each artifact, and behind it for each emulated CPU.
        changed: for each artifact.
        distances: how far emulated CPUs are from this machine.
    """

    simulated: list[DriftRow] = field(default_factory=list)
    rows: list[DriftRow] = field(default_factory=list)
    changed: list[Changed] = field(default_factory=list)
    distances: list[Apart] = field(default_factory=list)

    @property
    def here(self) -> list[DriftRow]:
        """The artifacts' rows of this machine."""
        return [row for row in self.rows if row.cpu is None]


def measured(
    artifacts: list[Artifact],
    trained: TrainedModel,
    sets: list[ImageSet],
    rungs: Sequence[Rung],
    cpus: list[CPU],
    max_drop: float | None,
    steps: Steps,
) -> Measured:
    """Runs the float model, the rungs and each artifact, ExecuTorch's on each of `cpus` too.

    The float model runs once for all that prepare their images alike. Of an artifact's answers only what changed is
    kept.
    """
    from shvit_mobile.drift.answer_changes import changed
    from shvit_mobile.drift.compare import check_classes, check_origin, comparison, float_reference
    from shvit_mobile.drift.cross_runtime import on_arm64
    from shvit_mobile.drift.ladder import simulated

    for artifact, images in zip(artifacts, sets, strict=True):
        check_origin(artifact, trained)
        check_classes(images, artifact, trained)
    references: dict[Preprocessing, Reference] = {}
    for preprocessing in dict.fromkeys(artifact.manifest.preprocessing for artifact in artifacts):
        with steps.step("Running the float model") as tick:
            references[preprocessing] = float_reference(trained, sets[0], preprocessing=preprocessing, progress=tick)
    found = Measured()
    for rung in rungs:
        with steps.step(f"Simulating the {rung.name}") as tick:
            found.simulated.append(simulated(rung, trained, sets[0], references[rung.preprocessing], progress=tick))
    for artifact, images in zip(artifacts, sets, strict=True):
        reference, name = references[artifact.manifest.preprocessing], artifact.path.name
        with steps.step(f"Running {name}") as tick:
            native = comparison(artifact, trained, images, reference=reference, progress=tick)
        found.rows.append(native.row)
        found.changed.append(changed(native, artifact.manifest.labels, images.root, max_drop=max_drop))
        for cpu in cpus if runs_on_arm64(artifact) else []:
            with steps.step(f"Running {name} on ARM64 {cpu.name}") as tick:
                row, distance = on_arm64(
                    artifact, trained, images, cpu, native=native, reference=reference, progress=tick
                )
            found.rows.append(row)
            found.distances.append(distance)
    return found


def record(artifacts: list[Artifact], rows: list[DriftRow]) -> None:
    """Puts each row into its artifact's manifest."""
    from shvit_mobile.pipeline.lower import with_fields

    for artifact, row in zip(artifacts, rows, strict=True):
        with_fields(artifact, drift=row)

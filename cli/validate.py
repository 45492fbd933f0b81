"""`shvit-mobile validate`: artifacts against the checkpoint they were made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shvit_mobile.demo import TEST_IMAGES
from shvit_mobile.errors import InvalidConfig, parse_choice

from .arguments import build_gate, check_output_files, load_trained_model, open_comparison_images
from .changes import print_changes
from .console import print_json, print_note, print_table
from .options import (
    CPU_PANEL,
    IMAGES_PANEL,
    INSPECTION_PANEL,
    OUTPUT_PANEL,
    CheckpointOption,
    JsonOption,
    LabelsCsvOption,
    MaxDropOption,
    MinAgreementOption,
    OverwriteOption,
)
from .progress import JobProgress
from .reports import (
    add_range_violations,
    check_layers_observable,
    compare_artifact_layers,
    measure_artifact_ranges,
    print_layers_and_ranges,
)
from .results import apply_gate, collect_sizes, print_verdict, to_contract_json, write_drift_report
from .tables import build_drift_table, describe_cross_runtime_divergence

if TYPE_CHECKING:
    from shvit_mobile.contracts.artifact import Artifact
    from shvit_mobile.contracts.drift_report import CrossRuntimeDivergence, PredictionChanges
    from shvit_mobile.contracts.drift_row import DriftRow
    from shvit_mobile.contracts.preprocessing import Preprocessing
    from shvit_mobile.drift.compare import FloatReference
    from shvit_mobile.drift.ladder import SimulatedRung
    from shvit_mobile.families.trained_model import TrainedModel
    from shvit_mobile.images.image_set import ImageSet
    from shvit_mobile.runtimes.arm64.cpus import CPU


def validate(
    artifacts: Annotated[
        list[Path], typer.Argument(metavar="ARTIFACT...", help="One or more .mlpackage, .pte or .onnx.")
    ],
    checkpoint: CheckpointOption = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Images to compare on, in a folder for each class.", rich_help_panel=IMAGES_PANEL
        ),
    ] = None,
    labels_csv: LabelsCsvOption = None,
    count: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only so many of them.", rich_help_panel=IMAGES_PANEL)
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Of the choice of images with --count.", rich_help_panel=IMAGES_PANEL)
    ] = 0,
    ladder: Annotated[
        bool,
        typer.Option(
            "--ladder",
            help="Also the steps between: the deploy form, and each recipe's int8 or small weights, computed by "
            "PyTorch on the same images. Artifacts then follow as ONNX, Core ML, ExecuTorch.",
            rich_help_panel=INSPECTION_PANEL,
        ),
    ] = False,
    layers: Annotated[
        bool,
        typer.Option(
            "--layers",
            help="Compare layer by layer too, on 32 of the images: free-running, and teacher-forced, where each layer "
            "is given the float model's values. Core ML and ONNX.",
            rich_help_panel=INSPECTION_PANEL,
        ),
    ] = False,
    ranges: Annotated[
        bool,
        typer.Option(
            "--ranges",
            help="Hold every intermediate value against fp16's range too. Exit status 1 where one overflows or an "
            "attention branch goes silent.",
            rich_help_panel=INSPECTION_PANEL,
        ),
    ] = False,
    arch: Annotated[
        str | None,
        typer.Option(
            metavar="arm64",
            help="Run each .pte on this instruction set too, emulated if need be: shvit-mobile doctor --install arm64.",
            rich_help_panel=CPU_PANEL,
        ),
    ] = None,
    cpu: Annotated[
        list[str] | None,
        typer.Option(
            metavar="neon|dotprod|i8mm",
            help="With --arch arm64: the newest instructions the emulated CPU has, as older and newer phones do; "
            "repeatable; else i8mm.",
            rich_help_panel=CPU_PANEL,
        ),
    ] = None,
    max_drop: MaxDropOption = None,
    min_agreement: MinAgreementOption = None,
    write: Annotated[
        bool,
        typer.Option("--write", help="Put the figures into each artifact's manifest.", rich_help_panel=OUTPUT_PANEL),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the drift report here (JSON).", rich_help_panel=OUTPUT_PANEL),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare artifacts with their checkpoint on images."""
    gate = build_gate(max_drop, min_agreement)
    check_output_files(out, overwrite=overwrite)
    cpus = cpus_of(arch, cpu or [])
    if images is None and (checkpoint is not None or labels_csv is not None):
        raise InvalidConfig(
            "No --images are given.",
            why="Artifact and checkpoint are compared on images.",
            hint="Add --images DIR with images, in a folder for each class.",
        )
    folder = images or TEST_IMAGES

    from shvit_mobile.contracts.artifact import Artifact

    with JobProgress("Validate") as steps:
        with steps.step("Reading the artifacts"):
            opened = [Artifact.open(path) for path in artifacts]
        if layers:
            check_layers_observable(opened)
        with steps.step("Reading the checkpoint"):
            trained = load_trained_model(checkpoint)
            from shvit_mobile.drift.build_report import build_drift_report
            from shvit_mobile.drift.ladder import list_simulated_rungs, sort_by_target
        opened = sort_by_target(opened) if ladder else opened
        simulations = list_simulated_rungs(opened) if ladder else ()
        sets = [
            open_comparison_images(folder, labels_csv, artifact.manifest.labels, gate, count=count, seed=seed)
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
        layered = compare_artifact_layers(opened, trained, sets, seed, steps) if layers else []
        ranged = measure_artifact_ranges(opened, trained, sets, steps) if ranges else []
        verdict = add_range_violations(apply_gate(found.rows, gate), ranged)
        with steps.step("Putting the report together"):
            report = build_drift_report(
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
        write_drift_report(report, out, overwrite=overwrite)
    if as_json:
        print_json(to_contract_json(report))
    else:
        print_table(
            build_drift_table(report.rows, collect_sizes(opened)),
            *map(describe_cross_runtime_divergence, found.distances),
        )
        print_changes(found.changed, found.here)
        print_layers_and_ranges(layered, ranged)
    for artifact in opened:
        if cpus and not runs_on_arm64(artifact):
            print_note(
                f"{artifact.path.name} ran on this machine only: ExecuTorch artifacts alone run on emulated ARM64."
            )
    print_verdict(verdict)


def cpus_of(arch: str | None, names: list[str]) -> list[CPU]:
    """The CPUs to emulate: none without --arch, and none where this machine is ARM64 itself.

    Raises:
        ToolMissing: the emulation is not set up.
    """
    if arch is None and names:
        raise InvalidConfig(
            "--cpu is given without --arch.", why="It says which CPU to emulate.", hint="Add --arch arm64."
        )
    if arch is None:
        return []
    parse_choice(arch, ["arm64"], "architecture")

    from shvit_mobile.runtimes.arm64.cpus import DEFAULT_CPU, find_cpu, is_arm64_host
    from shvit_mobile.runtimes.arm64.sysroot import open_sysroot

    chosen = [find_cpu(name) for name in dict.fromkeys(names or [DEFAULT_CPU])]
    if is_arm64_host():
        print_note("This machine is ARM64 itself: nothing is emulated, 'native' is ARM64.")
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
    changed: list[PredictionChanges] = field(default_factory=list)
    distances: list[CrossRuntimeDivergence] = field(default_factory=list)

    @property
    def here(self) -> list[DriftRow]:
        """The artifacts' rows of this machine."""
        return [row for row in self.rows if row.cpu is None]


def measured(
    artifacts: list[Artifact],
    trained: TrainedModel,
    sets: list[ImageSet],
    rungs: Sequence[SimulatedRung],
    cpus: list[CPU],
    max_drop: float | None,
    steps: JobProgress,
) -> Measured:
    """Runs the float model, the rungs and each artifact, ExecuTorch's on each of `cpus` too.

    The float model runs once for all that prepare their images alike. Of an artifact's answers only what changed is
    kept.
    """
    from shvit_mobile.drift.answer_changes import find_prediction_changes
    from shvit_mobile.drift.compare import check_classes, check_origin, compare_with_logits, compute_float_reference
    from shvit_mobile.drift.cross_runtime import compare_on_arm64
    from shvit_mobile.drift.ladder import compare_simulated_rung

    for artifact, images in zip(artifacts, sets, strict=True):
        check_origin(artifact, trained)
        check_classes(images, artifact, trained)
    references: dict[Preprocessing, FloatReference] = {}
    for preprocessing in dict.fromkeys(artifact.manifest.preprocessing for artifact in artifacts):
        with steps.step("Running the float model") as tick:
            references[preprocessing] = compute_float_reference(
                trained, sets[0], preprocessing=preprocessing, progress=tick
            )
    found = Measured()
    for rung in rungs:
        with steps.step(f"Simulating the {rung.name}") as tick:
            found.simulated.append(
                compare_simulated_rung(rung, trained, sets[0], references[rung.preprocessing], progress=tick)
            )
    for artifact, images in zip(artifacts, sets, strict=True):
        reference, name = references[artifact.manifest.preprocessing], artifact.path.name
        with steps.step(f"Running {name}") as tick:
            native = compare_with_logits(artifact, trained, images, reference=reference, progress=tick)
        found.rows.append(native.row)
        found.changed.append(find_prediction_changes(native, artifact.manifest.labels, images.root, max_drop=max_drop))
        for cpu in cpus if runs_on_arm64(artifact) else []:
            with steps.step(f"Running {name} on ARM64 {cpu.name}") as tick:
                row, distance = compare_on_arm64(
                    artifact, trained, images, cpu, native=native, reference=reference, progress=tick
                )
            found.rows.append(row)
            found.distances.append(distance)
    return found


def record(artifacts: list[Artifact], rows: list[DriftRow]) -> None:
    """Puts each row into its artifact's manifest."""
    from shvit_mobile.pipeline.lower import update_manifest

    for artifact, row in zip(artifacts, rows, strict=True):
        update_manifest(artifact, drift=row)

"""`shvit-mobile validate`: artifacts against the checkpoint they were made from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shvit_mobile.demo import TEST_IMAGES
from shvit_mobile.errors import WrongConfig

from .arguments import gate_of, images_to_compare, trained_model
from .console import data, show
from .options import IMAGES, INSIDE, OUTPUT, Checkpoint, Json, LabelsCsv, MaxDrop, MinAgreement
from .progress import Steps
from .reports import check_layers, layer_reports, range_reports, reports_json, show_reports, with_ranges
from .results import conclude, contract_json, judged, sizes
from .tables import drift_table

if TYPE_CHECKING:
    from shvit_mobile.drift.compare import Reference
    from shvit_mobile.drift.row import DriftRow
    from shvit_mobile.images.folders import ImageSet
    from shvit_mobile.images.preprocessing import Preprocessing
    from shvit_mobile.model.trained import TrainedModel
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
        steps.expect(2 + (2 + layers + ranges) * len(opened))
        rows = compared(opened, trained, sets, steps)
        layered = layer_reports(opened, trained, sets, seed, steps) if layers else []
        ranged = range_reports(opened, trained, sets, steps) if ranges else []
    if write:
        record(opened, rows)
    verdict = with_ranges(judged(rows, gate), ranged)
    if as_json:
        drift = {"drift": [contract_json(row) for row in rows], "gate": verdict and verdict.json()}
        data(drift | reports_json(layered, ranged))
    else:
        show(drift_table(rows, sizes(opened)))
        show_reports(layered, ranged)
    conclude(verdict)


def compared(artifacts: list[Artifact], trained: TrainedModel, sets: list[ImageSet], steps: Steps) -> list[DriftRow]:
    """A row for each artifact; the float model runs once for all that prepare their images alike."""
    from shvit_mobile.drift.compare import check_classes, check_origin, compare, float_reference

    for artifact, images in zip(artifacts, sets, strict=True):
        check_origin(artifact, trained)
        check_classes(images, artifact, trained)
    references: dict[Preprocessing, Reference] = {}
    rows = []
    for artifact, images in zip(artifacts, sets, strict=True):
        preprocessing = artifact.manifest.preprocessing
        if preprocessing not in references:
            with steps.step("Running the float model") as tick:
                references[preprocessing] = float_reference(trained, images, preprocessing=preprocessing, progress=tick)
        with steps.step(f"Running {artifact.path.name}") as tick:
            rows.append(compare(artifact, trained, images, reference=references[preprocessing], progress=tick))
    return rows


def record(artifacts: list[Artifact], rows: list[DriftRow]) -> None:
    """Puts each row into its artifact's manifest."""
    from shvit_mobile.targets.lower import with_fields

    for artifact, row in zip(artifacts, rows, strict=True):
        with_fields(artifact, drift=row)

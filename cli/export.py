"""`shvit-mobile export`: a checkpoint to artifacts, and to their drift where images are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shvit_mobile.demo import TEST_IMAGES
from shvit_mobile.errors import WrongConfig

from .arguments import (
    activations_of,
    calibration_images,
    check_files,
    check_out,
    check_validation,
    gate_of,
    images_to_compare,
    observer_of,
    pictures_of,
    precisions_of,
    recipe_from,
    share_of,
    steps_of,
    target_options,
    targets_of,
    trained_model,
)
from .card import check_card_options, write_card
from .console import data, note, show
from .options import (
    GATES,
    IMAGES,
    OUTPUT,
    Checkpoint,
    Crop,
    Json,
    Labels,
    LabelsCsv,
    MaxDrop,
    Mean,
    MinAgreement,
    Model,
    Overwrite,
    Size,
    Std,
    Step,
)
from .plan import Exported, Plan, checked, done, jobs
from .progress import Steps
from .results import artifact_json, conclude, contract_json, judged, sizes, with_delegation, write_report
from .tables import artifact_table, by, cell, drift_table, pairs

if TYPE_CHECKING:
    from shvit_mobile.contracts.drift_report import GateVerdict

TARGET, PRECISION = "Target", "Precision"
COUNT, SEED = 128, 0
DELEGATED = "100%"


def export(
    checkpoint: Checkpoint = None,
    model: Model = None,
    labels: Labels = None,
    size: Size = None,
    crop: Crop = None,
    mean: Mean = None,
    std: Std = None,
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="TARGET", help="coreml, executorch, onnx or all; repeatable.", rich_help_panel=TARGET),
    ] = None,
    input_kind: Annotated[
        str | None,
        typer.Option("--input", metavar="image|tensor", help="coreml: what it takes.", rich_help_panel=TARGET),
    ] = None,
    deployment_target: Annotated[
        str | None,
        typer.Option(metavar="iOS17", help="coreml: the oldest system it must run on.", rich_help_panel=TARGET),
    ] = None,
    no_classifier: Annotated[
        bool, typer.Option("--no-classifier", help="coreml: logits without class names.", rich_help_panel=TARGET)
    ] = False,
    layout: Annotated[
        str | None,
        typer.Option(metavar="matmul|einsum", help="coreml: how attention multiplies.", rich_help_panel=TARGET),
    ] = None,
    block: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="coreml: channels that share a scale (int8-weights) or a palette. Needs iOS18.",
            rich_help_panel=TARGET,
        ),
    ] = None,
    opset: Annotated[
        int | None, typer.Option(metavar="N", help="onnx: the version of its operators.", rich_help_panel=TARGET)
    ] = None,
    static_batch: Annotated[
        bool, typer.Option("--static-batch", help="onnx: one image at a time, no more.", rich_help_panel=TARGET)
    ] = False,
    stem: Annotated[
        str | None,
        typer.Option(
            metavar="plain|space-to-depth",
            help="executorch: what the app hands over, an image or its 2x2 blocks (faster).",
            rich_help_panel=TARGET,
        ),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="auto|float|int8-dynamic",
            help="executorch: the last layer under int8. By default int8 too where there are many classes.",
            rich_help_panel=TARGET,
        ),
    ] = None,
    require_delegated: Annotated[
        str | None,
        typer.Option(
            metavar="PERCENT",
            help=f"executorch: operators that XNNPACK must take; else {DELEGATED}.",
            rich_help_panel=GATES,
        ),
    ] = None,
    quantize: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PRECISION",
            help="fp32, fp16, int8, int8-dynamic, int8-weights, palette-8, palette-6 or palette-4; repeatable. Else "
            "fp16 for coreml, else fp32.",
            rich_help_panel=PRECISION,
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Images that int8 is calibrated on.", rich_help_panel=PRECISION),
    ] = None,
    observer: Annotated[
        str | None,
        typer.Option(
            metavar="OBSERVER",
            help="How int8's ranges follow from these images: min-max, percentile or mse; else mse, or min-max for a "
            "few images.",
            rich_help_panel=PRECISION,
        ),
    ] = None,
    activations: Annotated[
        str | None,
        typer.Option(
            metavar="affine|symmetric",
            help="int8 of activations with a zero point or without; else affine.",
            rich_help_panel=PRECISION,
        ),
    ] = None,
    step: Step = None,
    calibration_count: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help=f"How many of them; else {COUNT}.", rich_help_panel=PRECISION),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", help=f"Of the choice of images; else {SEED}.", rich_help_panel=PRECISION),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A recipe from before, instead of calibrating.", rich_help_panel=PRECISION),
    ] = None,
    validate: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Run every artifact on these images and compare it with the checkpoint.",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    labels_csv: LabelsCsv = None,
    validate_count: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only so many of them.", rich_help_panel=IMAGES)
    ] = None,
    golden_images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Make the goldens, by which an app checks itself, of up to 4 of these images. They go into the app.",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    max_drop: MaxDrop = None,
    min_agreement: MinAgreement = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write into.", rich_help_panel=OUTPUT)] = Path(
        "artifacts"
    ),
    overwrite: Overwrite = False,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="With --validate: write the drift report here (JSON).", rich_help_panel=OUTPUT
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.", rich_help_panel=OUTPUT)
    ] = False,
    card: Annotated[
        bool,
        typer.Option("--card", help="Also write a model card, README.md, of all artifacts.", rich_help_panel=OUTPUT),
    ] = False,
    license: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Of the weights, for the card: mit, apache-2.0, …", rich_help_panel=OUTPUT),
    ] = None,
    as_json: Json = False,
) -> None:
    """Turn a checkpoint into artifacts for phones.

    Each comes with its manifest, its recipe and its goldens. A gate that fails leaves them there to be looked into.
    """
    gate = gate_of(max_drop, min_agreement)
    if gate and validate is None and checkpoint is None:
        validate = TEST_IMAGES
    asked = {"--labels-csv": labels_csv, "--validate-count": validate_count, "--report": report}
    check_validation(validate, gate, asked)
    check_out(out)
    carded = check_card_options(out, card, license, overwrite)
    check_files(report, overwrite=overwrite)
    targets = targets_of(target or [])
    sampling = {
        "--calibration": calibration,
        "--observer": observer,
        "--activations": activations,
        "--step": step,
        "--calibration-count": calibration_count,
        "--seed": seed,
    }
    ready = recipe_from(recipe, excluded={"--quantize": quantize, **sampling})
    wanted = jobs(targets, [ready.precision] if ready else precisions_of(quantize or []))
    options = target_options(
        targets,
        {
            "coreml": {
                "input": ("--input", input_kind),
                "deployment_target": ("--deployment-target", deployment_target),
                "classifier": ("--no-classifier", False if no_classifier else None),
                "layout": ("--layout", layout),
                "block": ("--block", block),
            },
            "onnx": {
                "opset": ("--opset", opset),
                "dynamic_batch": ("--static-batch", False if static_batch else None),
            },
            "executorch": {"stem": ("--stem", stem), "head": ("--head", head)},
        },
    )
    if require_delegated is not None and "executorch" not in targets:
        raise WrongConfig(
            "--require-delegated is given without --target executorch.", why="Other targets have no delegates."
        )
    delegated = share_of("--require-delegated", require_delegated or DELEGATED)
    if checkpoint is None:
        note("No --checkpoint is given: this is the embedded demo model.")
    with Steps("Export") as steps:
        with steps.step("Reading the checkpoint"):
            trained = trained_model(checkpoint, variant=model, labels=labels, size=size, crop=crop, mean=mean, std=std)
        calibrated = ready is None and any(job.precision == "int8" for job in wanted)
        calibrating = calibration_images(sampling, needed=calibrated, demo=checkpoint is None)
        taken = COUNT if calibration_count is None else calibration_count
        plan = Plan(
            trained=trained,
            jobs=wanted,
            out=out,
            options=options,
            recipe=ready,
            calibration=calibrating,
            count=taken,
            seed=SEED if seed is None else seed,
            observer=observer_of(observer, min(taken, len(calibrating) if calibrating else taken)),
            activations=activations_of(activations or "affine"),
            steps=steps_of(step),
            pictures=pictures_of(golden_images),
            validation=None
            if validate is None
            else images_to_compare(validate, labels_csv, trained.labels, gate, count=validate_count),
            gate=gate,
            overwrite=overwrite,
        )
        with steps.step("Checking the plan"):
            checked(plan)
        exported = None if dry_run else done(plan, steps)
    for picture in plan.pictures or ():
        if picture.changed:
            note(f"note: {picture.source} is encoded anew for the goldens: {picture.changed}.")
    for sentence in [] if exported is None else left_out(exported):
        note(f"note: {sentence}")
    if exported is None:
        show_plan(plan, [path for path in (report, carded) if path is not None], as_json)
        return
    verdict = with_delegation(judged(exported.rows, gate), exported.artifacts, delegated)
    if report is not None:
        write_drift(report, plan, exported, verdict)
    if carded is not None:
        # The demo model's own card says so.
        write_card(carded, exported, license or ("mit" if checkpoint is None else None), validate, overwrite)
    show_exported(exported, plan.out, verdict, carded, as_json)


def left_out(exported: Exported) -> list[str]:
    """What targets could not do of what their recipes wish."""
    from shvit_mobile.targets.capabilities import not_followed

    return [
        f"{artifact.path.name}: {sentence}"
        for artifact in exported.artifacts
        for sentence in not_followed(artifact.manifest.recipe, artifact.manifest.target)
    ]


def write_drift(path: Path, plan: Plan, exported: Exported, verdict: GateVerdict | None) -> None:
    """Puts the drift report of all artifacts where it is wanted."""
    from shvit_mobile.drift.build_report import drift_report

    if plan.validation is None:
        return
    told = drift_report("export", plan.trained, plan.validation, exported.rows, changed=exported.changed, gate=verdict)
    write_report(told, path, overwrite=plan.overwrite)


def show_plan(plan: Plan, more: Sequence[Path], as_json: bool) -> None:
    """What would be written."""
    trained = plan.trained
    source = {
        "checkpoint": trained.source,
        "layout": trained.dialect,
        "variant": trained.variant,
        "classes": trained.model.config.classes,
        "image size": by(trained.preprocessing.size),
        "calibration": plan.calibration and f"{min(plan.count, len(plan.calibration))} images",
        "goldens": plan.pictures and ", ".join(picture.source for picture in plan.pictures),
        "validation": plan.validation and f"{len(plan.validation)} images",
    }
    files = [str(file) for job in plan.jobs for file in plan.files(job)] + [str(path) for path in more]
    if as_json:
        data({"dry_run": True, **{name.replace(" ", "_"): value for name, value in source.items()}, "files": files})
    else:
        show(pairs("What was read", source), "", "What would be written", *(f"  {file}" for file in files))


def show_exported(exported: Exported, out: Path, verdict: GateVerdict | None, card: Path | None, as_json: bool) -> None:
    """What was written, and how far it is from the checkpoint; ends with status 1 where a gate failed.

    Args:
        exported: what came of the plan.
        out: the folder it was written into.
        verdict: what the gates made of it.
        card: the model card, where one was written.
        as_json: print JSON.
    """
    from shvit_mobile.targets.delegation import sentences

    if as_json:
        data(
            {
                "artifacts": [artifact_json(artifact) for artifact in exported.artifacts],
                "gate": verdict and contract_json(verdict),
                "card": card and str(card),
            }
        )
    else:
        show(artifact_table(exported.artifacts, str(out)))
        for artifact in exported.artifacts:
            if artifact.manifest.delegation:
                show("", *(cell(f"{artifact.path.name}: {told}") for told in sentences(artifact.manifest.delegation)))
        if exported.rows:
            show("", drift_table(exported.rows, sizes(exported.artifacts)))
        if card is not None:
            show("", f"The model card is {card}.")
    conclude(verdict, f"What was written stays in {out}, so that you can look into it.")

"""`shvit-mobile export`: a checkpoint to artifacts, and to their drift where images are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shvit_mobile.demo import TEST_IMAGES
from shvit_mobile.errors import InvalidConfig

from .arguments import (
    build_gate,
    build_target_options,
    check_output_files,
    check_output_folder,
    check_validation,
    choose_observer,
    load_golden_pictures,
    load_trained_model,
    open_calibration_images,
    open_comparison_images,
    parse_activations,
    parse_passes,
    parse_precisions,
    parse_share,
    parse_targets,
    read_recipe,
)
from .card import check_card_options, write_card
from .console import print_json, print_note, print_table
from .options import (
    GATES_PANEL,
    IMAGES_PANEL,
    OUTPUT_PANEL,
    CheckpointOption,
    CropOption,
    JsonOption,
    LabelsCsvOption,
    LabelsOption,
    MaxDropOption,
    MeanOption,
    MinAgreementOption,
    ModelOption,
    OverwriteOption,
    SizeOption,
    StdOption,
    StepOption,
)
from .plan import Exported, Plan, checked, done, jobs
from .progress import JobProgress
from .results import (
    add_delegation_violations,
    apply_gate,
    collect_sizes,
    print_verdict,
    to_artifact_json,
    to_contract_json,
    write_drift_report,
)
from .tables import build_artifact_table, build_drift_table, build_pairs_table, format_cell, format_size

if TYPE_CHECKING:
    from shvit_mobile.contracts.drift_report import GateVerdict

TARGET, PRECISION = "Target", "Precision"
COUNT, SEED = 128, 0
DELEGATED = "100%"


def export(
    checkpoint: CheckpointOption = None,
    model: ModelOption = None,
    labels: LabelsOption = None,
    size: SizeOption = None,
    crop: CropOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
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
            rich_help_panel=GATES_PANEL,
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
    step: StepOption = None,
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
            rich_help_panel=IMAGES_PANEL,
        ),
    ] = None,
    labels_csv: LabelsCsvOption = None,
    validate_count: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only so many of them.", rich_help_panel=IMAGES_PANEL)
    ] = None,
    golden_images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Make the goldens, by which an app checks itself, of up to 4 of these images. They go into the app.",
            rich_help_panel=IMAGES_PANEL,
        ),
    ] = None,
    max_drop: MaxDropOption = None,
    min_agreement: MinAgreementOption = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder to write into.", rich_help_panel=OUTPUT_PANEL)
    ] = Path("artifacts"),
    overwrite: OverwriteOption = False,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="With --validate: write the drift report here (JSON).", rich_help_panel=OUTPUT_PANEL
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be written, and write nothing.", rich_help_panel=OUTPUT_PANEL),
    ] = False,
    card: Annotated[
        bool,
        typer.Option(
            "--card", help="Also write a model card, README.md, of all artifacts.", rich_help_panel=OUTPUT_PANEL
        ),
    ] = False,
    license: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Of the weights, for the card: mit, apache-2.0, …", rich_help_panel=OUTPUT_PANEL
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Turn a checkpoint into artifacts for phones.

    Each comes with its manifest, its recipe and its goldens. A gate that fails leaves them there to be looked into.
    """
    gate = build_gate(max_drop, min_agreement)
    if gate and validate is None and checkpoint is None:
        validate = TEST_IMAGES
    asked = {"--labels-csv": labels_csv, "--validate-count": validate_count, "--report": report}
    check_validation(validate, gate, asked)
    check_output_folder(out)
    carded = check_card_options(out, card, license, overwrite)
    check_output_files(report, overwrite=overwrite)
    targets = parse_targets(target or [])
    sampling = {
        "--calibration": calibration,
        "--observer": observer,
        "--activations": activations,
        "--step": step,
        "--calibration-count": calibration_count,
        "--seed": seed,
    }
    ready = read_recipe(recipe, excluded={"--quantize": quantize, **sampling})
    wanted = jobs(targets, [ready[0].precision] if ready else parse_precisions(quantize or []))
    options = build_target_options(
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
        raise InvalidConfig(
            "--require-delegated is given without --target executorch.", why="Other targets have no delegates."
        )
    delegated = parse_share("--require-delegated", require_delegated or DELEGATED)
    if checkpoint is None:
        print_note("No --checkpoint is given: this is the embedded demo model.")
    with JobProgress("Export") as steps:
        with steps.step("Reading the checkpoint"):
            trained = load_trained_model(
                checkpoint, variant=model, labels=labels, size=size, crop=crop, mean=mean, std=std
            )
        calibrated = ready is None and any(job.precision == "int8" for job in wanted)
        calibrating = open_calibration_images(sampling, needed=calibrated, demo=checkpoint is None)
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
            observer=choose_observer(observer, min(taken, len(calibrating) if calibrating else taken)),
            activations=parse_activations(activations or "affine"),
            steps=parse_passes(step),
            pictures=load_golden_pictures(golden_images),
            validation=None
            if validate is None
            else open_comparison_images(validate, labels_csv, trained.labels, gate, count=validate_count),
            gate=gate,
            overwrite=overwrite,
        )
        with steps.step("Checking the plan"):
            checked(plan)
        exported = None if dry_run else done(plan, steps)
    for picture in plan.pictures or ():
        if picture.reencoding_reason:
            print_note(f"note: {picture.source} is encoded anew for the goldens: {picture.reencoding_reason}.")
    for sentence in [] if exported is None else left_out(exported):
        print_note(f"note: {sentence}")
    if exported is None:
        show_plan(plan, [path for path in (report, carded) if path is not None], as_json)
        return
    verdict = add_delegation_violations(apply_gate(exported.rows, gate), exported.artifacts, delegated)
    if report is not None:
        write_drift(report, plan, exported, verdict)
    if carded is not None:
        # The demo model's own card says so.
        write_card(carded, exported, license or ("mit" if checkpoint is None else None), validate, overwrite)
    show_exported(exported, plan.out, verdict, carded, as_json)


def left_out(exported: Exported) -> list[str]:
    """What targets could not do of what their recipes wish."""
    from shvit_mobile.targets.capabilities import list_unsupported

    return [
        f"{artifact.path.name}: {sentence}"
        for artifact in exported.artifacts
        for sentence in list_unsupported(artifact.manifest.recipe, artifact.manifest.target)
    ]


def write_drift(path: Path, plan: Plan, exported: Exported, verdict: GateVerdict | None) -> None:
    """Puts the drift report of all artifacts where it is wanted."""
    from shvit_mobile.drift.build_report import build_drift_report

    if plan.validation is None:
        return
    told = build_drift_report(
        "export", plan.trained, plan.validation, exported.rows, changed=exported.changed, gate=verdict
    )
    write_drift_report(told, path, overwrite=plan.overwrite)


def show_plan(plan: Plan, more: Sequence[Path], as_json: bool) -> None:
    """What would be written."""
    trained = plan.trained
    source = {
        "checkpoint": trained.source,
        "layout": trained.dialect,
        "variant": trained.variant,
        "classes": trained.model.config.classes,
        "image size": format_size(trained.preprocessing.size),
        "calibration": plan.calibration and f"{min(plan.count, len(plan.calibration))} images",
        "goldens": plan.pictures and ", ".join(picture.source for picture in plan.pictures),
        "validation": plan.validation and f"{len(plan.validation)} images",
    }
    files = [str(file) for job in plan.jobs for file in plan.files(job)] + [str(path) for path in more]
    if as_json:
        print_json(
            {"dry_run": True, **{name.replace(" ", "_"): value for name, value in source.items()}, "files": files}
        )
    else:
        print_table(
            build_pairs_table("What was read", source), "", "What would be written", *(f"  {file}" for file in files)
        )


def show_exported(exported: Exported, out: Path, verdict: GateVerdict | None, card: Path | None, as_json: bool) -> None:
    """What was written, and how far it is from the checkpoint; ends with status 1 where a gate failed.

    Args:
        exported: what came of the plan.
        out: the folder it was written into.
        verdict: what the gates made of it.
        card: the model card, where one was written.
        as_json: print JSON.
    """
    from shvit_mobile.targets.delegation import describe_delegation

    if as_json:
        print_json(
            {
                "artifacts": [to_artifact_json(artifact) for artifact in exported.artifacts],
                "gate": verdict and to_contract_json(verdict),
                "card": card and str(card),
            }
        )
    else:
        print_table(build_artifact_table(exported.artifacts, str(out)))
        for artifact in exported.artifacts:
            if artifact.manifest.delegation:
                print_table(
                    "",
                    *(
                        format_cell(f"{artifact.path.name}: {told}")
                        for told in describe_delegation(artifact.manifest.delegation)
                    ),
                )
        if exported.rows:
            print_table("", build_drift_table(exported.rows, collect_sizes(exported.artifacts)))
        if card is not None:
            print_table("", f"The model card is {card}.")
    print_verdict(verdict, f"What was written stays in {out}, so that you can look into it.")

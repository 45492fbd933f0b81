"""`shvit-mobile export`: a checkpoint to artifacts, and to their drift where images are given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from shvit_mobile.errors import parse_image_size

from . import options as opt
from .arguments import (
    calibration_options,
    drop_none,
    gate_options,
    model_options,
    parse_share,
    target_options,
)
from .console import print_json, print_note, print_table
from .progress import JobProgress
from .results import collect_sizes, print_failed_baseline, print_verdict, to_artifact_json, to_contract_json
from .tables import build_artifact_table, build_drift_tables, build_pairs_table, format_cell, format_size

if TYPE_CHECKING:
    from shvit_mobile.pipeline.export import ExportPlan, ExportResult
    from shvit_mobile.pipeline.platforms import Recommendation


def export(
    checkpoint: opt.Checkpoint = None,
    weights: opt.Weights = None,
    sha256: opt.Sha256 = None,
    model: opt.Model = None,
    task: opt.Task = None,
    labels: opt.Labels = None,
    size: opt.Size = None,
    crop: opt.Crop = None,
    mean: opt.Mean = None,
    std: opt.Std = None,
    resize: opt.Resize = None,
    interpolation: opt.Interpolation = None,
    channel_order: opt.ChannelOrder = None,
    padding: opt.Padding = None,
    padding_value: opt.PaddingValue = None,
    target: opt.Target = None,
    platform: opt.Platform = None,
    input_kind: opt.Input = None,
    deployment_target: opt.DeploymentTarget = None,
    no_classifier: opt.NoClassifier = False,
    layout: opt.Layout = None,
    block: opt.Block = None,
    opset: opt.Opset = None,
    static_batch: opt.StaticBatch = False,
    delegate: opt.Delegate = None,
    allow_unproven: opt.AllowUnproven = False,
    stem: opt.Stem = None,
    head: opt.Head = None,
    float_dtype: opt.FloatDtype = None,
    more_sizes: opt.MoreSizes = None,
    etrecord: opt.ETRecord = False,
    bundled: opt.Bundled = False,
    quantize: opt.Quantize = None,
    recipe: opt.Recipe = None,
    calibration: opt.Calibration = None,
    calibration_count: opt.CalibrationCount = None,
    observer: opt.Observer = None,
    activations: opt.Activations = None,
    passes: opt.Passes = None,
    seed: opt.Seed = None,
    validate: opt.Validate = None,
    labels_csv: opt.LabelsCsv = None,
    labels_coco: opt.LabelsCoco = None,
    validate_count: opt.ValidateCount = None,
    golden_images: opt.GoldenImages = None,
    max_drop: opt.MaxDrop = None,
    min_agreement: opt.MinAgreement = None,
    min_top1: opt.MinTop1 = None,
    min_sqnr: opt.MinSqnr = None,
    min_box_agreement: opt.MinBoxAgreement = None,
    accept_baseline: opt.AcceptBaseline = False,
    require_delegated: opt.RequireDelegated = None,
    out: opt.OutFolder = Path("artifacts"),
    overwrite: opt.Overwrite = False,
    report: opt.Report = None,
    dry_run: opt.DryRun = False,
    card: opt.Card = False,
    license: opt.License = None,
    as_json: opt.Json = False,
) -> None:
    """Export a checkpoint to artifacts for phones.

    Each artifact comes with its manifest, its recipe and its goldens. If a gate fails, the artifacts stay, so that you
    can look into them.
    """
    coreml = _list_coreml_options(deployment_target, input_kind, no_classifier, layout, block, more_sizes)
    onnx = {"opset": ("--opset", opset), "dynamic_batch": ("--static-batch", False if static_batch else None)}
    executorch = _list_executorch_options(stem, head, float_dtype, more_sizes, etrecord, bundled)
    options = target_options(target, {"coreml": coreml, "onnx": onnx, "executorch": executorch})
    delegated = None if require_delegated is None else parse_share("--require-delegated", require_delegated)
    given = (
        model_options(checkpoint=checkpoint, weights=weights, sha256=sha256, model=model, labels=labels, size=size)
        | drop_none(task=task, crop=crop, mean=mean, std=std, padding=padding, padding_value=padding_value)
        | drop_none(resize_mode=resize, interpolation=interpolation, channel_order=channel_order)
        | calibration_options(calibration, calibration_count, observer, activations, passes, seed)
        | gate_options(validation=validate, labels_csv=labels_csv, validation_count=validate_count)
        | gate_options(max_drop=max_drop, min_agreement=min_agreement, min_top1=min_top1, min_sqnr=min_sqnr)
        | gate_options(labels_coco=labels_coco, min_box_agreement=min_box_agreement)
        | {"accept_baseline": accept_baseline, "allow_unproven": allow_unproven}
        | drop_none(delegates=delegate, precisions=quantize, platforms=platform and opt.PLATFORMS[platform])
        | drop_none(recipe=recipe, require_delegated=delegated, golden_images=golden_images)
        | drop_none(out=out, overwrite=overwrite, report=report, card=card, license=license)
    )
    _run_export(options | given, dry_run=dry_run, as_json=as_json)


def _list_coreml_options(
    deployment_target: opt.DeploymentTarget,
    input_kind: opt.Input,
    no_classifier: opt.NoClassifier,
    layout: opt.Layout,
    block: opt.Block,
    more_sizes: opt.MoreSizes,
) -> dict[str, tuple[str, object]]:
    """Return the options of Core ML, each with its name on the command line."""
    return {
        "deployment_target": ("--deployment-target", deployment_target),
        "input": ("--input", input_kind),
        "classifier": ("--no-classifier", False if no_classifier else None),
        "layout": ("--layout", layout),
        "block": ("--block", block),
        **_list_size_options(more_sizes),
    }


def _list_executorch_options(
    stem: opt.Stem,
    head: opt.Head,
    float_dtype: opt.FloatDtype,
    more_sizes: opt.MoreSizes,
    etrecord: opt.ETRecord,
    bundled: opt.Bundled,
) -> dict[str, tuple[str, object]]:
    """Return the options of ExecuTorch, each with its name on the command line."""
    return {
        "stem": ("--stem", stem),
        "head": ("--head", head),
        "float_dtype": ("--float-dtype", float_dtype),
        "etrecord": ("--etrecord", etrecord or None),
        "bundled": ("--bundled", bundled or None),
        **_list_size_options(more_sizes),
    }


def _list_size_options(more_sizes: opt.MoreSizes) -> dict[str, tuple[str, object]]:
    """Return the option of the targets whose artifacts may take several image sizes, with its name."""
    others = tuple(parse_image_size(one, "--more-size") for one in more_sizes or ())
    return {"more_sizes": ("--more-size", others or None)}


def _run_export(options: dict[str, object], *, dry_run: bool, as_json: bool) -> None:
    """Run the export, or plan it, and print the outcome; exit with status 1 if a gate fails."""
    if "checkpoint" not in options:
        print_note("No --checkpoint is given: this is the embedded demo model.")
    with JobProgress("Export") as progress:
        with progress.step("Loading the tools"):
            from shvit_mobile.pipeline.export import ExportConfig, export, plan_export
            from shvit_mobile.pipeline.steps import Steps

        config = ExportConfig(**options)  # type: ignore[arg-type]
        plan = plan_export(config, Steps(progress.follow)) if dry_run else None
        with print_failed_baseline(as_json=as_json):
            result = None if dry_run else export(config, progress.follow)
    if plan is not None:
        _print_plan(plan, as_json)
    if result is not None:
        _print_export(result, Path(config.out), as_json)


def _print_plan(plan: ExportPlan, as_json: bool) -> None:
    """Print what would be written."""
    trained, config = plan.trained, plan.config
    calibrated = plan.calibration and f"{min(config.calibration_count, len(plan.calibration))} images"
    source = {
        "checkpoint": trained.source,
        "layout": trained.dialect,
        "variant": trained.variant,
        "task": trained.task,
        "classes": trained.classes,
        "image size": format_size(trained.preprocessing.size),
        "calibration": calibrated,
        "goldens": plan.goldens and ", ".join(golden.source for golden in plan.goldens),
        "validation": plan.validation and f"{len(plan.validation)} images",
    }
    files = [str(file) for file in plan.files]
    if as_json:
        print_json(
            {"dry_run": True, **{name.replace(" ", "_"): value for name, value in source.items()}, "files": files}
            | {"notes": [*plan.image_notes, *plan.notes]}
        )
    else:
        print_table(
            build_pairs_table("Input", source), "", "Files that would be written", *(f"  {file}" for file in files)
        )
    for sentence in (*plan.image_notes, *plan.notes):
        print_note(f"note: {sentence}")


def _print_export(result: ExportResult, out: Path, as_json: bool) -> None:
    """Print what was written and how far it is from the checkpoint; exit with status 1 if a gate failed."""
    from shvit_mobile.targets.delegation import describe_delegation

    for sentence in result.notes:
        print_note(f"note: {sentence}")
    if as_json:
        print_json(
            {
                "artifacts": [to_artifact_json(artifact) for artifact in result.artifacts],
                "gate": result.verdict and to_contract_json(result.verdict),
                "card": result.card and str(result.card),
                "images": result.report and to_contract_json(result.report.images),
                "notes": result.notes,
                "recommendations": [
                    {
                        "platform": one.platform,
                        "artifact": one.artifact and str(one.artifact.path),
                        "evidence": one.evidence,
                        "passed_over": one.passed_over,
                    }
                    for one in result.recommendations
                ],
            }
        )
    else:
        print_table(build_artifact_table(result.artifacts, str(out)))
        for artifact in result.artifacts:
            if artifact.manifest.delegation:
                sentences = describe_delegation(artifact.manifest.delegation)
                print_table("", *(format_cell(f"{artifact.path.name}: {sentence}") for sentence in sentences))
        if result.rows:
            print_table("", *build_drift_tables(result.rows, collect_sizes(result.artifacts)))
        for recommendation in result.recommendations:
            _print_recommendation(recommendation)
        if result.card is not None:
            print_table("", f"The model card is {result.card}.")
    print_verdict(result.verdict, f"The artifacts stay in {out}, so that you can look into them.")


def _print_recommendation(recommendation: Recommendation) -> None:
    """Print what to ship on a platform, and why nothing else."""
    name = {"ios": "iOS", "android": "Android"}[recommendation.platform]
    artifact = recommendation.artifact
    ship = "nothing keeps the accuracy." if artifact is None else f"{artifact.path.name} ({recommendation.evidence})"
    print_table("", format_cell(f"To ship on {name}: {ship}"))
    for sentence in recommendation.passed_over:
        print_table(format_cell(f"  not {sentence}"))

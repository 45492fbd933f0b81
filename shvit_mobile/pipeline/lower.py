"""Lowers a deploy form with a recipe to an artifact with its manifest, recipe and goldens: all four or none."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import (
    Artifact,
    check_artifact_name,
    format_artifact_name,
    format_size,
    get_goldens_path,
    get_manifest_path,
    get_recipe_path,
    list_artifact_files,
)
from shvit_mobile.contracts.fingerprints import compute_sha256, compute_size_bytes
from shvit_mobile.contracts.goldens import GOLDENS_NAME
from shvit_mobile.contracts.manifest import (
    TARGET_SUFFIXES,
    UNPROVEN_DELEGATES,
    ArtifactFile,
    Delegation,
    Inventory,
    Manifest,
    ModelProvenance,
    QualifiedTarget,
    RampGolden,
    Target,
    qualify_target,
)
from shvit_mobile.contracts.outputs import check_overwrite, write_atomically
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.contracts.recipe import PRECISIONS, Precision, Recipe, get_overrides_path
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import BadArtifact, BadRecipe, InvalidValue, MissingParameter, UnwritableOutput, parse_choice
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.ramp import draw_ramp
from shvit_mobile.pipeline.goldens import (
    GoldenSource,
    build_ramp_golden,
    load_default_golden_images,
    preprocess_golden_images,
    write_goldens,
)
from shvit_mobile.pipeline.verify import VerificationResult, verify_artifact
from shvit_mobile.quantize.overrides import ParameterOverrides, apply_overrides, check_overrides
from shvit_mobile.runtimes.runner import prepare_input
from shvit_mobile.targets.build_result import BuildResult
from shvit_mobile.targets.capabilities import NEAREST_PRECISIONS
from shvit_mobile.targets.target_options import TargetOptions
from shvit_mobile.versions import get_package_versions

# Module and options class by name, so that an ONNX export imports neither coremltools nor ExecuTorch.
TARGET_MODULES: dict[Target, tuple[str, str]] = {
    "coreml": ("shvit_mobile.targets.coreml", "CoreMLOptions"),
    "executorch": ("shvit_mobile.targets.executorch", "ExecuTorchOptions"),
    "onnx": ("shvit_mobile.targets.onnx", "ONNXOptions"),
    "litert": ("shvit_mobile.targets.litert", "LiteRTOptions"),
    "coreai": ("shvit_mobile.targets.coreai", "CoreAIOptions"),
}


def lower(
    deployed: DeployForm,
    recipe: Recipe,
    target: Target,
    out: AnyPath = "artifacts",
    *,
    overrides: ParameterOverrides | None = None,
    options: TargetOptions | None = None,
    goldens: Sequence[GoldenSource] | None = None,
    overwrite: bool = False,
    has_gate: bool = False,
    allow_unproven: bool = False,
) -> Artifact:
    """Write the artifact of a target into a folder, with its manifest, recipe and goldens beside it.

    The artifact is loaded, run and compared with `deployed` before it gets its name. The manifest holds its outputs
    for an image that a formula draws; its goldens are its outputs for some pictures.

    Args:
        deployed: From `to_deploy_form`.
        recipe: From `calibrate_recipe` or `load_recipe`.
        target: "coreml", "executorch", "onnx", "litert" or "coreai".
        out: The folder, which is created if it does not exist.
        overrides: The overrides of the recipe.
        options: The options of the target (default: its defaults); some add a file beside the artifact.
        goldens: The pictures for the goldens (default: three photos and two drawings).
        overwrite: Replace existing files.
        has_gate: The caller compares the artifact on images and holds it against a limit, so that a recipe that ruins
            the model is no error here.
        allow_unproven: Write an artifact that nothing on this machine can run; its goldens are simulated in PyTorch.

    Raises:
        UnknownChoice: If `target` is unknown.
        BadRecipe: If the target lacks the precision, or the recipe belongs to another model or to other overrides.
        InvalidConfig: If the options belong to another target or exclude each other, or the artifact cannot run here.
        OutputExists: If a file exists and `overwrite` is not set.
        VerificationFailed: If the artifact does not compute what the checkpoint, or its recipe, does, or the recipe
            does not suit the checkpoint; nothing is written.
    """
    parse_choice(target, TARGET_SUFFIXES, "target")
    check_target_precision(qualify_target(target, options.delegate if options else None), recipe.precision)
    module = import_module(TARGET_MODULES[target][0])
    check_unproven(options, allow_unproven=allow_unproven)
    options = options or getattr(module, TARGET_MODULES[target][1])()
    final = plan_artifact_path(deployed.trained, recipe.precision_name, target, Path(out), options)
    check_artifact_overwrite(final, options, overwrite=overwrite)
    check_overrides(recipe, overrides)
    overrides_path = get_overrides_path(get_recipe_path(final))
    extra = () if overrides is None else (overrides_path,)
    sides = list_side_files(final, options)
    written = write_atomically(
        *extra,
        *sides,
        *list_artifact_files(final),
        folders=_get_artifact_folders(final),
        obsolete={overrides_path, *map(final.with_suffix, options.SIDE_SUFFIXES.values())} - {*extra, *sides},
        overwrite=overwrite,
    )
    with written as (*others, path, recipe_file, goldens_folder, manifest_file):
        built = module.build(apply_overrides(deployed, recipe, overrides), recipe, path, options)
        manifest = build_manifest(deployed, recipe, target, path, built)
        sources = goldens or load_default_golden_images()
        pixels = preprocess_golden_images(sources, deployed.trained.preprocessing)
        ramp = draw_ramp(deployed.trained.preprocessing.size)
        artifact = Artifact(path, manifest)
        result = verify_artifact(
            artifact, deployed, np.concatenate([ramp, pixels]), overrides=overrides, has_gate=has_gate
        )
        entry = write_goldens(goldens_folder, artifact, sources, pixels, result.drop_first())
        golden = build_ramp_golden(manifest, result)
        more_goldens, notes = _verify_other_sizes(artifact, deployed, sources, overrides, has_gate=has_gate)
        sizes = [one.model_copy(update={"golden": more_goldens.get(one.size, golden)}) for one in manifest.sizes]
        manifest = manifest.model_copy(update={"golden": golden, "goldens": entry, "sizes": tuple(sizes)})
        manifest_file.write_text(manifest.to_json(), encoding="utf-8")
        recipe_file.write_text(recipe.to_json(), encoding="utf-8")
        for file in others[: len(extra)]:
            file.write_bytes(overrides.file_bytes if overrides else b"")
        for file in others[len(extra) :]:
            _write_side_file(file, artifact, built, pixels, result.drop_first())
    return Artifact(final, manifest, (*result.notes, *notes))


def _verify_other_sizes(
    artifact: Artifact,
    deployed: DeployForm,
    sources: Sequence[GoldenSource],
    overrides: ParameterOverrides | None,
    *,
    has_gate: bool,
) -> tuple[dict[tuple[int, int], RampGolden], tuple[str, ...]]:
    """Verify an artifact at each size but its first, on the same pictures; return the golden of each, and notes."""
    goldens, notes = dict[tuple[int, int], RampGolden](), list[str]()
    for size in (one.size for one in artifact.manifest.sizes[1:]):
        manifest, resized = artifact.manifest.select_size(size), deployed.resize(size)
        pixels = np.concatenate([draw_ramp(size), preprocess_golden_images(sources, resized.trained.preprocessing)])
        selected = replace(artifact, manifest=manifest)
        result = verify_artifact(selected, resized, pixels, overrides=overrides, has_gate=has_gate)
        goldens[size] = build_ramp_golden(manifest, result)
        notes += [f"At {format_size(size)}: {note}" for note in result.notes]
    return goldens, tuple(notes)


def plan_artifact_path(
    trained: TrainedModel, precision: str, target: Target, out: Path, options: TargetOptions | None = None
) -> Path:
    """Return where `lower` would write an artifact; `precision` is the `precision_name` of its recipe."""
    suffix, delegate = (options.suffix, options.delegate) if options else ("", None)
    size = trained.preprocessing.size
    name = format_artifact_name(trained.variant, size, target, precision, suffix, delegate=delegate, task=trained.task)
    return out / name


def list_side_files(path: Path, options: TargetOptions | None) -> tuple[Path, ...]:
    """Return the files that options add beside the artifact at `path`."""
    return tuple(map(path.with_suffix, options.side_suffixes)) if options else ()


def _write_side_file(
    file: Path, artifact: Artifact, built: BuildResult, pixels: NDArray[np.uint8], result: VerificationResult
) -> None:
    """Write an ETRecord, or a bundled program with an artifact's outputs for `pixels`, which are in `result`."""
    from shvit_mobile.targets.executorch import ETRECORD_SUFFIX
    from shvit_mobile.targets.executorch_devtools import write_bundled_program, write_etrecord

    if file.suffix == ETRECORD_SUFFIX:
        write_etrecord(built.etrecord, file)
    else:
        inputs = prepare_input(artifact.manifest, pixels)
        write_bundled_program(artifact.path, file, inputs, list(result.outputs.values()), result.tolerance)


def check_artifact_overwrite(path: Path, options: TargetOptions | None = None, *, overwrite: bool) -> None:
    """Raise `OutputExists` or `UnwritableOutput` if `lower` would; call it before the work begins."""
    check_artifact_name(path, UnwritableOutput)
    files = (*list_artifact_files(path), get_overrides_path(get_recipe_path(path)), *list_side_files(path, options))
    check_overwrite(*files, folders=_get_artifact_folders(path), overwrite=overwrite)


def _get_artifact_folders(path: Path) -> Mapping[Path, str]:
    """Return the folders among an artifact's files, each with the name of a file that it always contains."""
    goldens = {get_goldens_path(path): GOLDENS_NAME}
    package = {TARGET_SUFFIXES["coreml"]: "Manifest.json", TARGET_SUFFIXES["coreai"]: "metadata.json"}.get(path.suffix)
    return {path: package, **goldens} if package else goldens


def check_target_precision(target: QualifiedTarget, precision: Precision) -> None:
    """Raise `BadRecipe` if the target lacks the precision."""
    lacking = NEAREST_PRECISIONS[target]
    if precision in lacking:
        nearest, why = lacking[precision]
        raise BadRecipe(
            f"The target {target} has no {precision}: {why}.",
            why=f"Its precisions: {', '.join(name for name in PRECISIONS if name not in lacking)}.",
            hint=f"Set `precision={nearest}`, the nearest one.",
            parameter="precision",
        )


def check_unproven(options: TargetOptions | None, *, allow_unproven: bool) -> None:
    """Raise `MissingParameter` if an artifact could not be run here and that is not allowed."""
    if options and options.delegate in UNPROVEN_DELEGATES and not allow_unproven:
        raise MissingParameter(
            "A program for Vulkan cannot be proven here.",
            why="Its delegate runs on phones only, so nothing compares it with the checkpoint.",
            hint="To export it all the same: `allow_unproven=True`",
            parameter="allow_unproven",
        )


def check_target_options(trained: TrainedModel, precision: Precision, options: TargetOptions) -> None:
    """Raise `InvalidValue` if an option of a target means nothing for the model, or as `TargetOptions.check_model`."""
    options.check_model(trained)
    block = getattr(options, "block", 0)
    axis = 1 if precision == "int8-weights" else 0
    sides = {weight.shape[axis] for weight in trained.model.parameters() if weight.dim() > 1}
    if block and all(side % block for side in sides):
        raise InvalidValue(
            f"`block` is {block}.",
            why="It divides the number of channels of no weight.",
            hint="Try: `block=32`",
            parameter="block",
        )


def build_manifest(deployed: DeployForm, recipe: Recipe, target: Target, path: Path, built: BuildResult) -> Manifest:
    """Return the manifest of the artifact at `path`, still without goldens."""
    trained = deployed.trained
    return Manifest(
        artifact=ArtifactFile(name=path.name, bytes=compute_size_bytes(path), sha256=compute_sha256(path)),
        task=trained.task,
        target=target,
        precision=recipe.precision,
        model=ModelProvenance(
            variant=trained.variant,
            classes=trained.classes,
            source=trained.source,
            dialect=trained.dialect,
            checkpoint_sha256=trained.sha256,
        ),
        labels=trained.labels,
        preprocessing=trained.preprocessing,
        input=built.input,
        output=built.output,
        detection=trained.detection,
        recipe=recipe,
        options=built.options,
        versions=get_package_versions("shvit-mobile", "torch") | built.versions,
        inventory=built.inventory,
        delegation=built.delegation,
        sizes=built.sizes,
    )


def update_manifest(artifact: Artifact, **fields: Any) -> Artifact:
    """Change fields of an artifact's manifest, in memory and on disk.

    Raises:
        BadArtifact: If the artifact was replaced by another one in the meantime.
    """
    current = Manifest.load(get_manifest_path(artifact.path))
    if current.artifact.sha256 != artifact.manifest.artifact.sha256:
        raise BadArtifact(f"{artifact.path} was replaced while it was measured.", hint="Run the command again.")
    manifest = artifact.manifest.model_copy(update=fields)
    manifest.save(get_manifest_path(artifact.path), overwrite=True)
    return Artifact(artifact.path, manifest)


def read_contents(path: AnyPath, target: Target) -> tuple[Inventory, Delegation | None]:
    """Return the inventory and the delegation of an artifact, which needs no manifest."""
    if target == "executorch":
        from shvit_mobile.targets.pte import inspect_program

        program = inspect_program(Path(path))
        return program.inventory, program.delegation
    return import_module(TARGET_MODULES[target][0]).read_inventory(Path(path)), None

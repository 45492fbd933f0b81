"""Lowering: a deploy form and a recipe in; an artifact, its manifest, recipe and goldens out, all four or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from shvit_mobile.contracts.artifact import (
    Artifact,
    format_artifact_name,
    get_goldens_path,
    get_manifest_path,
    get_recipe_path,
    list_artifact_files,
)
from shvit_mobile.contracts.fingerprints import compute_sha256, compute_size_bytes
from shvit_mobile.contracts.goldens import GOLDENS_NAME
from shvit_mobile.contracts.manifest import (
    TARGET_SUFFIXES,
    ArtifactFile,
    Delegation,
    Inventory,
    Manifest,
    ModelProvenance,
    RampGolden,
    Target,
)
from shvit_mobile.contracts.outputs import check_overwrite, write_atomically
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.contracts.recipe import Recipe, get_overrides_path
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import BadRecipe, parse_choice
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.ramp import draw_ramp
from shvit_mobile.pipeline.golden_images import GoldenSource, load_default_golden_images
from shvit_mobile.pipeline.goldens import preprocess_golden_images, write_goldens
from shvit_mobile.pipeline.verify import verify_artifact
from shvit_mobile.quantize.overrides import ParameterOverrides, apply_overrides, check_overrides
from shvit_mobile.targets.build_result import BuildResult
from shvit_mobile.targets.capabilities import NEAREST_PRECISIONS
from shvit_mobile.targets.target_options import TargetOptions

# Named as text, so that making an ONNX file imports neither coremltools nor ExecuTorch.
TARGET_MODULES: dict[Target, tuple[str, str]] = {
    "coreml": ("shvit_mobile.targets.coreml", "CoreMLOptions"),
    "executorch": ("shvit_mobile.targets.executorch", "ExecuTorchOptions"),
    "onnx": ("shvit_mobile.targets.onnx", "ONNXOptions"),
}


def lower(
    deployed: DeployForm,
    recipe: Recipe,
    target: Target,
    out: AnyPath = "artifacts",
    *,
    overrides: ParameterOverrides | None = None,
    options: TargetOptions | None = None,
    pictures: Sequence[GoldenSource] | None = None,
    overwrite: bool = False,
) -> Artifact:
    """The artifact of `deployed` for a target, written into the folder `out` with all that belongs to it beside it.

    It has been loaded and run when this returns: its answers to some pictures are its goldens, in a folder beside it,
    and its answer to one that a formula draws is in the manifest, as `golden`.

    Args:
        deployed: from `to_deploy_form`.
        recipe: from `calibrate_recipe` or `load_recipe`.
        target: "coreml", "executorch" or "onnx".
        out: the folder; made if need be.
        overrides: the recipe's overrides, if it has any.
        options: of the target; its defaults if None.
        pictures: what the goldens are made of; three photos and a drawing if None.
        overwrite: replace what is there.

    Raises:
        UnknownChoice: `target` is not one.
        BadRecipe: the target cannot do the recipe's precision, the recipe is another model's, or `overrides` are not
            the recipe's.
        InvalidConfig: the options are another target's, or exclude each other.
        OutputExists: something is there, and `overwrite` is not asked for.
        ProofFailed: the artifact was run and does not answer as the checkpoint does; nothing is written.
    """
    parse_target(target)
    module = import_module(TARGET_MODULES[target][0])
    check_target_precision(target, module.PRECISIONS, recipe)
    options = options or getattr(module, TARGET_MODULES[target][1])()
    final = plan_artifact_path(deployed.trained, recipe.precision_name, target, Path(out), options)
    check_artifact_overwrite(final, overwrite=overwrite)
    check_overrides(recipe, overrides)
    overrides_path = get_overrides_path(get_recipe_path(final))
    files = list_artifact_files(final) if overrides is None else (*list_artifact_files(final), overrides_path)
    written = write_atomically(*files, folders=get_artifact_folders(final), overwrite=overwrite)
    with written as (path, manifest_file, recipe_file, goldens_folder, *overrides_file):
        built = module.build(apply_overrides(deployed, recipe, overrides), recipe, path, options)
        manifest = build_manifest(deployed, recipe, target, path, built)
        manifest = add_goldens(
            Artifact(path, manifest), deployed, pictures or load_default_golden_images(), goldens_folder
        )
        manifest_file.write_text(manifest.to_json())
        recipe_file.write_text(recipe.to_json())
        for file in overrides_file:
            file.write_bytes(overrides.file_bytes if overrides else b"")
    if overrides is None:
        # Those of an artifact that was here before.
        overrides_path.unlink(missing_ok=True)
    return Artifact(final, manifest)


def add_goldens(artifact: Artifact, deployed: DeployForm, pictures: Sequence[GoldenSource], folder: Path) -> Manifest:
    """The manifest of an artifact that has proven itself on the ramp and on `pictures`; its goldens go to `folder`.

    Raises:
        ProofFailed: it does not answer as `deployed` does.
    """
    preprocessing = deployed.trained.preprocessing
    pixels = preprocess_golden_images(pictures, preprocessing)
    proof = verify_artifact(artifact, deployed, np.concatenate([draw_ramp(preprocessing.size), pixels]))
    golden = RampGolden(logits=tuple(map(float, proof.logits[0])), how=proof.execution, tolerance=proof.tolerance)
    goldens = write_goldens(folder, artifact, pictures, pixels, proof.drop_first())
    return artifact.manifest.model_copy(update={"golden": golden, "goldens": goldens})


def plan_artifact_path(
    trained: TrainedModel, precision: str, target: Target, out: Path, options: TargetOptions | None = None
) -> Path:
    """Where `lower` would put the artifact of a trained model, in what its recipe calls `precision_name`."""
    suffix = options.suffix if options else ""
    return out / format_artifact_name(trained.variant, trained.preprocessing.size, target, precision, suffix)


def check_artifact_overwrite(path: Path, *, overwrite: bool) -> None:
    """Raises `OutputExists` where `lower` would refuse to write `path`; to be asked before the work begins."""
    files = (*list_artifact_files(path), get_overrides_path(get_recipe_path(path)))
    check_overwrite(*files, folders=get_artifact_folders(path), overwrite=overwrite)


def get_artifact_folders(path: Path) -> Mapping[Path, str]:
    """Those of the artifact's files that are folders, each with the name of a file that is always in it."""
    goldens = {get_goldens_path(path): GOLDENS_NAME}
    return {path: "Manifest.json", **goldens} if path.suffix == TARGET_SUFFIXES["coreml"] else goldens


def parse_target(name: str) -> Target:
    """`name` as a target.

    Raises:
        UnknownChoice: it is not one.
    """
    return parse_choice(name, TARGET_SUFFIXES, "target")


def check_target_precision(target: Target, precisions: tuple[str, ...], recipe: Recipe) -> None:
    if recipe.precision not in precisions:
        nearest, why = NEAREST_PRECISIONS[target][recipe.precision]
        raise BadRecipe(
            f"The target {target} has no {recipe.precision}: {why}.",
            why=f"Its precisions: {', '.join(precisions)}.",
            hint=f"The nearest: shvit-mobile export --target {target} --quantize {nearest}",
        )


def build_manifest(deployed: DeployForm, recipe: Recipe, target: Target, path: Path, built: BuildResult) -> Manifest:
    """The manifest of an artifact just written to `path`."""
    trained = deployed.trained
    return Manifest(
        artifact=ArtifactFile(name=path.name, bytes=compute_size_bytes(path), sha256=compute_sha256(path)),
        target=target,
        precision=recipe.precision,
        model=ModelProvenance(
            variant=trained.variant,
            classes=trained.model.config.classes,
            source=trained.source,
            dialect=trained.dialect,
            checkpoint_sha256=trained.sha256,
        ),
        labels=trained.labels,
        preprocessing=trained.preprocessing,
        input=built.input,
        output=built.output,
        recipe=recipe,
        options=built.options,
        versions={name: version(name) for name in ("shvit-mobile", "torch")} | built.versions,
        inventory=built.inventory,
        delegation=built.delegation,
    )


def update_manifest(artifact: Artifact, **fields: Any) -> Artifact:
    """The artifact with some fields of its manifest changed, in memory and on disk."""
    manifest = artifact.manifest.model_copy(update=fields)
    with write_atomically(get_manifest_path(artifact.path), overwrite=True) as (path,):
        path.write_text(manifest.to_json())
    return Artifact(artifact.path, manifest)


def read_contents(path: AnyPath, target: Target) -> tuple[Inventory, Delegation | None]:
    """Return the inventory and the delegation of an artifact's file, which needs no manifest."""
    if target == "executorch":
        from shvit_mobile.targets.pte import inspect_program

        program = inspect_program(Path(path))
        return program.inventory, program.delegation
    return import_module(TARGET_MODULES[target][0]).read_inventory(Path(path)), None

"""Lowering: a deploy form and a recipe in; an artifact, its manifest, recipe and goldens out, all four or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shvit_mobile.contracts.artifact import (
    Artifact,
    artifact_name,
    files_of,
    goldens_path,
    manifest_path,
    recipe_path,
)
from shvit_mobile.contracts.fingerprints import sha256, size_in_bytes
from shvit_mobile.contracts.goldens import LIST
from shvit_mobile.contracts.manifest import TARGETS, ArtifactFile, Golden, Manifest, Provenance, Target
from shvit_mobile.contracts.outputs import refuse_existing, whole
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.contracts.recipe import Recipe, corrections_path
from shvit_mobile.deploy.fold import DeployForm
from shvit_mobile.errors import BadRecipe, UnknownTarget
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.ramp import ramp
from shvit_mobile.pipeline.golden_images import GoldenPicture, usual_pictures
from shvit_mobile.pipeline.goldens import golden_pixels, write_goldens
from shvit_mobile.pipeline.verify import proven
from shvit_mobile.quantize.overrides import corrected, corrections_of
from shvit_mobile.targets.build_result import Built
from shvit_mobile.targets.capabilities import NEAREST
from shvit_mobile.targets.target_options import TargetOptions

if TYPE_CHECKING:
    from shvit_mobile.targets.coreml import CoreMLOptions
    from shvit_mobile.targets.executorch import ExecuTorchOptions
    from shvit_mobile.targets.onnx import ONNXOptions

# Named as text, so that making an ONNX file imports neither coremltools nor ExecuTorch.
MODULES: dict[Target, tuple[str, str]] = {
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
    options: CoreMLOptions | ExecuTorchOptions | ONNXOptions | None = None,
    pictures: Sequence[GoldenPicture] | None = None,
    overwrite: bool = False,
) -> Artifact:
    """The artifact of `deployed` for a target, written into the folder `out` with all that belongs to it beside it.

    It has been loaded and run when this returns: its answers to some pictures are its goldens, in a folder beside it,
    and its answer to one that a formula draws is in the manifest, as `golden`.

    Args:
        deployed: from `to_deploy_form`.
        recipe: from `calibrate`, or read from a file.
        target: "coreml", "executorch" or "onnx".
        out: the folder; made if need be.
        options: of the target; its defaults if None.
        pictures: what the goldens are made of; three photos and a drawing if None.
        overwrite: replace what is there.

    Raises:
        UnknownTarget: `target` is not one.
        BadRecipe: the target cannot do the recipe's precision, or the recipe is another model's.
        WrongConfig: the options are another target's, or exclude each other.
        OutputExists: something is there, and `overwrite` is not asked for.
        ProofFailed: the artifact was run and does not answer as the checkpoint does; nothing is written.
    """
    check_target(target)
    module = import_module(MODULES[target][0])
    check_precision(target, module.PRECISIONS, recipe)
    options = options or getattr(module, MODULES[target][1])()
    final = planned(deployed.trained, recipe.precision_name, target, Path(out), options)
    check_free(final, overwrite=overwrite)
    corrections = corrections_of(recipe)
    beside = corrections_path(recipe_path(final))
    files = files_of(final) if corrections is None else (*files_of(final), beside)
    written = whole(*files, folders=folders_of(final), overwrite=overwrite)
    with written as (path, manifest_file, recipe_file, goldens_folder, *corrections_file):
        built = module.build(corrected(deployed, recipe), recipe, path, options)
        manifest = manifest_of(deployed, recipe, target, path, built)
        manifest = with_goldens(Artifact(path, manifest), deployed, pictures or usual_pictures(), goldens_folder)
        manifest_file.write_text(manifest.json_text())
        recipe_file.write_text(recipe.json_text())
        for file in corrections_file:
            file.write_bytes(corrections.data if corrections else b"")
    if corrections is None:
        # Those of an artifact that was here before.
        beside.unlink(missing_ok=True)
    return Artifact(final, manifest)


def with_goldens(artifact: Artifact, deployed: DeployForm, pictures: Sequence[GoldenPicture], folder: Path) -> Manifest:
    """The manifest of an artifact that has proven itself on the ramp and on `pictures`; its goldens go to `folder`.

    Raises:
        ProofFailed: it does not answer as `deployed` does.
    """
    preprocessing = deployed.trained.preprocessing
    pixels = golden_pixels(pictures, preprocessing)
    proof = proven(artifact, deployed, np.concatenate([ramp(preprocessing.size), pixels]))
    golden = Golden(logits=tuple(map(float, proof.logits[0])), how=proof.how, tolerance=proof.tolerance)
    goldens = write_goldens(folder, artifact, pictures, pixels, proof.without_first())
    return artifact.manifest.model_copy(update={"golden": golden, "goldens": goldens})


def planned(
    trained: TrainedModel, precision: str, target: Target, out: Path, options: TargetOptions | None = None
) -> Path:
    """Where `lower` would put the artifact of a trained model, in what its recipe calls `precision_name`."""
    suffix = options.suffix if options else ""
    return out / artifact_name(trained.variant, trained.preprocessing.size, target, precision, suffix)


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raises `OutputExists` where `lower` would refuse to write `path`; to be asked before the work begins."""
    files = (*files_of(path), corrections_path(recipe_path(path)))
    refuse_existing(*files, folders=folders_of(path), overwrite=overwrite)


def folders_of(path: Path) -> Mapping[Path, str]:
    """Those of the artifact's files that are folders, each with the name of a file that is always in it."""
    goldens = {goldens_path(path): LIST}
    return {path: "Manifest.json", **goldens} if path.suffix == TARGETS["coreml"] else goldens


def check_target(name: str) -> Target:
    """`name` as a target.

    Raises:
        UnknownTarget: it is not one.
    """
    return UnknownTarget.chosen(name, TARGETS)


def check_precision(target: Target, precisions: tuple[str, ...], recipe: Recipe) -> None:
    if recipe.precision not in precisions:
        nearest, why = NEAREST[target][recipe.precision]
        raise BadRecipe(
            f"The target {target} has no {recipe.precision}: {why}.",
            why=f"Its precisions: {', '.join(precisions)}.",
            hint=f"The nearest: shvit-mobile export --target {target} --quantize {nearest}",
        )


def manifest_of(deployed: DeployForm, recipe: Recipe, target: Target, path: Path, built: Built) -> Manifest:
    """The manifest of an artifact just written to `path`."""
    trained = deployed.trained
    return Manifest(
        artifact=ArtifactFile(name=path.name, bytes=size_in_bytes(path), sha256=sha256(path)),
        target=target,
        precision=recipe.precision,
        model=Provenance(
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


def with_fields(artifact: Artifact, **fields: Any) -> Artifact:
    """The artifact with some fields of its manifest changed, in memory and on disk."""
    manifest = artifact.manifest.model_copy(update=fields)
    with whole(manifest_path(artifact.path), overwrite=True) as (path,):
        path.write_text(manifest.json_text())
    return Artifact(artifact.path, manifest)

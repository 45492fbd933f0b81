"""The ladder: what PyTorch makes of the deploy form and of each recipe, so that a person sees where drift enters.

From rung to rung one thing changes: the float model is folded to the deploy form, gets a recipe's numbers, and is then
lowered to each target. The first two are computed here, without an artifact; their rows say "simulated".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.manifest import Target
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import INT8_ARITHMETIC, Precision, Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.drift.compare import (
    FloatReference,
    LogitsFunction,
    ProgressCallback,
    build_drift_row,
    check_reference,
    check_same_images,
    collect_logits,
)
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.quantize.overrides import ParameterOverrides, apply_overrides, load_artifact_overrides
from shvit_mobile.quantize.weights import WEIGHT_ONLY_PRECISIONS, compress_weights

# In which artifacts stand below what is simulated.
TARGET_ORDER: tuple[Target, ...] = ("onnx", "coreml", "executorch")

# The precisions whose numbers PyTorch can compute; what fp32 and fp16 change is up to the runtime.
SIMULATED_PRECISIONS: tuple[Precision, ...] = (*INT8_ARITHMETIC, *WEIGHT_ONLY_PRECISIONS)


@dataclass(frozen=True)
class SimulatedRung:
    """Something that PyTorch computes and no artifact.

    Attributes:
        name: for people.
        preprocessing: how it sees pictures.
        recipe: whose numbers it computes with; None for the deploy form in float32.
        overrides: the recipe's overrides, if it has any.
    """

    name: str
    preprocessing: Preprocessing
    recipe: Recipe | None = None
    # The recipe holds their SHA-256.
    overrides: ParameterOverrides | None = field(default=None, compare=False)


def list_simulated_rungs(artifacts: Iterable[Artifact]) -> tuple[SimulatedRung, ...]:
    """Return the steps between a float model and its artifacts: the deploy form, and each simulated recipe once.

    If artifacts differ in their preprocessing, each preprocessing has its own steps; equal names are numbered.

    Raises:
        BadRecipe: If a recipe's overrides are not beside its artifact.
    """
    artifacts = list(artifacts)
    ways = dict.fromkeys(artifact.manifest.preprocessing for artifact in artifacts)
    forms = [SimulatedRung("deploy form", preprocessing) for preprocessing in ways]
    simulated: list[SimulatedRung] = []
    for artifact in artifacts:
        recipe, preprocessing = artifact.manifest.recipe, artifact.manifest.preprocessing
        rung = SimulatedRung(f"{name_simulation(recipe)} {recipe.precision_name}", preprocessing, recipe)
        if recipe.precision in SIMULATED_PRECISIONS and rung not in simulated:
            simulated.append(replace(rung, overrides=load_artifact_overrides(artifact)))
    return tuple(number_duplicates([*forms, *simulated]))


def name_simulation(recipe: Recipe) -> str:
    """What PyTorch does with a recipe."""
    return "fake-quant" if recipe.precision in INT8_ARITHMETIC else "rounded"


def number_duplicates(rungs: Sequence[SimulatedRung]) -> list[SimulatedRung]:
    """The rungs, the second and later ones of a name with their number."""
    names = [rung.name for rung in rungs]
    before = [names[:place].count(name) for place, name in enumerate(names)]
    return [
        rung if not earlier else replace(rung, name=f"{rung.name} ({earlier + 1})")
        for rung, earlier in zip(rungs, before, strict=True)
    ]


def compare_simulated_rung(
    rung: SimulatedRung,
    trained: TrainedModel,
    images: ImageSet,
    reference: FloatReference,
    *,
    batch: int = 32,
    progress: ProgressCallback | None = None,
) -> DriftRow:
    """The drift of a rung against the float model, on the same images.

    Args:
        rung: one of `list_simulated_rungs`.
        trained: the float checkpoint.
        images: as `compare` takes them.
        reference: the float model's answers to them.
        batch: images at a time; the graph of int8 takes them one by one all the same.
        progress: told (files done, files in all) after each batch.

    Raises:
        BadRecipe: the recipe is of another model.
        ProofFailed: the deploy form is not equal to the float model.
        BadImages, InvalidConfig: as `compare`.
    """
    check_reference(reference, trained, rung.preprocessing)
    deployed = to_deploy_form(replace(trained, preprocessing=rung.preprocessing))
    simulation = build_simulation(deployed, rung.recipe, rung.overrides)
    answers = collect_logits([simulation], images, rung.preprocessing, batch, progress)
    check_same_images(reference, answers)
    return build_drift_row(
        reference.logits,
        answers.logits[0],
        answers.labels,
        artifact=rung.name,
        target="torch",
        precision=rung.recipe.precision_name if rung.recipe else "fp32",
        execution="simulated",
        engine=f"PyTorch {torch.__version__.partition('+')[0]}",
        skipped=answers.skipped,
    )


def build_simulation(
    deployed: DeployForm, recipe: Recipe | None, overrides: ParameterOverrides | None = None
) -> LogitsFunction:
    """Pixels (images, height, width, 3) to float32 logits (images, classes), as a recipe would have it, in PyTorch.

    int8 and int8-dynamic compute every quantized value through its integers (`quantize.pt2e`); a recipe of small
    weights computes in float32 with what is left of them.

    Raises:
        BadRecipe: the recipe is of another model.
    """
    if recipe is not None and recipe.precision in INT8_ARITHMETIC:
        return build_fake_quant(apply_overrides(deployed, recipe, overrides), recipe)
    form = deployed if recipe is None else replace(deployed, module=compress_weights(deployed, recipe))
    return lambda pixels: form.run(pixels).numpy()


def build_fake_quant(deployed: DeployForm, recipe: Recipe) -> LogitsFunction:
    """The quantized graph, which takes one image at a time."""
    from shvit_mobile.quantize.pt2e_graph import build_quantized_graph

    graph = build_quantized_graph(deployed, recipe)

    @torch.inference_mode()
    def answer(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = torch.cat(
            [graph(image[None]) for image in deployed.prepare(pixels)]
        ).numpy()
        return logits

    return answer


def sort_by_target(artifacts: Sequence[Artifact]) -> list[Artifact]:
    """The artifacts by target, in the order of the ladder; those of one target in the order they were given."""
    return sorted(artifacts, key=lambda artifact: TARGET_ORDER.index(artifact.manifest.target))

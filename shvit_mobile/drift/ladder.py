"""Simulates the deploy form and each recipe in PyTorch, to show at which step accuracy is lost.

Each rung of the ladder changes one thing: the float model becomes the deploy form, is quantized by a recipe, and is
lowered to each target. The first two are simulated here; their execution is "simulated".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.manifest import TARGET_ORDER
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import INT8_ARITHMETIC, Precision, Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import LOGITS, DeployForm, run_in_batches
from shvit_mobile.drift import compare
from shvit_mobile.drift.map_drift import MapSource, OutputsFunction
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.progress import ProgressCallback
from shvit_mobile.quantize.overrides import ParameterOverrides, apply_overrides, load_artifact_overrides
from shvit_mobile.quantize.weights import WEIGHT_ONLY_PRECISIONS, compress_weights

# The precisions that PyTorch can simulate; what fp32 and fp16 change depends on the runtime.
_SIMULATED_PRECISIONS: tuple[Precision, ...] = (*INT8_ARITHMETIC, *WEIGHT_ONLY_PRECISIONS)


@dataclass(frozen=True)
class SimulatedRung:
    """A step that PyTorch computes without an artifact.

    Attributes:
        name: The name in the table.
        preprocessing: The preprocessing of images.
        recipe: The recipe to simulate; None for the deploy form in float32.
        overrides: The recipe's overrides, if it has any.
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
    preprocessings = dict.fromkeys(artifact.manifest.preprocessing for artifact in artifacts)
    forms = [SimulatedRung("deploy form", preprocessing) for preprocessing in preprocessings]
    simulated: list[SimulatedRung] = []
    for artifact in artifacts:
        recipe, preprocessing = artifact.manifest.recipe, artifact.manifest.preprocessing
        how = "fake-quant" if recipe.precision in INT8_ARITHMETIC else "rounded"
        rung = SimulatedRung(f"{how} {recipe.precision_name}", preprocessing, recipe)
        if recipe.precision in _SIMULATED_PRECISIONS and rung not in simulated:
            simulated.append(replace(rung, overrides=load_artifact_overrides(artifact)))
    return tuple(_number_duplicates([*forms, *simulated]))


def _number_duplicates(rungs: Sequence[SimulatedRung]) -> list[SimulatedRung]:
    """Return the rungs, with a number after the second and later ones of a name."""
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
    reference: compare.FloatReference,
    *,
    batch: int = 32,
    progress: ProgressCallback | None = None,
) -> DriftRow:
    """Compare a rung with the float model on the same images.

    Args:
        rung: One of `list_simulated_rungs`.
        trained: The float checkpoint.
        images: As in `compare`.
        reference: The float model's logits for them.
        batch: Images per batch (default: 32); the int8 graph takes them one by one.
        progress: Called with the files done and all files after each batch.

    Raises:
        BadRecipe: If the recipe is of another model.
        VerificationFailed: If the deploy form is not equal to the float model.
        BadImages, ConflictingParameters: As `compare`.
    """
    compare.check_reference(reference, trained, rung.preprocessing)
    source = build_rung_source(rung, trained)
    answers = compare.collect_logits(
        [lambda pixels: source.run(pixels)[LOGITS]], images, rung.preprocessing, batch, progress
    )
    compare.check_same_images(reference, answers)
    return compare.build_drift_row(
        reference.logits,
        answers.logits[0],
        answers.labels,
        artifact=source.artifact,
        target=source.target,
        precision=source.precision,
        execution=source.execution,
        engine=source.engine,
        skipped=answers.skipped_count,
    )


def build_rung_source(rung: SimulatedRung, trained: TrainedModel) -> MapSource:
    """Return what computes a rung, with the fields of its row.

    Raises:
        BadRecipe: If the recipe is of another model.
        VerificationFailed: If the deploy form is not equal to the float model.
    """
    deployed = to_deploy_form(replace(trained, preprocessing=rung.preprocessing))
    return MapSource(
        artifact=rung.name,
        target="torch",
        precision=rung.recipe.precision_name if rung.recipe else "fp32",
        execution="simulated",
        engine=f"PyTorch {torch.__version__.partition('+')[0]}",
        run=build_simulation(deployed, rung.recipe, rung.overrides),
        detection=trained.detection,
    )


def build_simulation(
    deployed: DeployForm, recipe: Recipe | None, overrides: ParameterOverrides | None = None
) -> OutputsFunction:
    """Return a function from pixels (images, height, width, 3) to outputs by name that simulates a recipe.

    int8 and int8-dynamic compute every quantized value through its integers (`quantize.pt2e_graph`); a recipe that
    compresses weights only computes in float32 with the compressed weights.

    Raises:
        BadRecipe: If the recipe is of another model.
    """
    if recipe is not None and recipe.precision in INT8_ARITHMETIC:
        return _build_fake_quant(apply_overrides(deployed, recipe, overrides), recipe)
    form = deployed if recipe is None else deployed.replace_module(compress_weights(deployed, recipe))
    return lambda pixels: convert_to_arrays(form.run_outputs(pixels))


def _build_fake_quant(deployed: DeployForm, recipe: Recipe) -> OutputsFunction:
    """Return the quantized graph, which takes one image at a time."""
    from shvit_mobile.quantize.pt2e_graph import build_quantized_graph, compute_constants

    graph = build_quantized_graph(deployed, recipe)
    compute_constants(graph)
    return lambda pixels: convert_to_arrays(run_in_batches(graph, deployed, pixels, size=1))


def convert_to_arrays(outputs: Mapping[str, Tensor]) -> dict[str, NDArray[np.float32]]:
    return {name: values.numpy() for name, values in outputs.items()}


def sort_by_target(artifacts: Sequence[Artifact]) -> list[Artifact]:
    """Sort artifacts by target, in the order of the ladder."""
    return sorted(artifacts, key=lambda artifact: TARGET_ORDER.index(artifact.manifest.target))

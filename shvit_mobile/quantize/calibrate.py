"""Calibration: images in, a recipe with the range of every layer out."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shvit_mobile.contracts.preprocessing import convert_to_raw_input
from shvit_mobile.contracts.recipe import (
    FLOAT_KINDS,
    PALETTE_FLOAT_KINDS,
    PALETTE_PRECISIONS,
    ActivationRange,
    ActivationScheme,
    CalibrationImages,
    ObserverName,
    Precision,
    PTQPassName,
    Recipe,
)
from shvit_mobile.deploy.fold import DeployForm
from shvit_mobile.errors import BadRecipe
from shvit_mobile.images.augment import augment_images
from shvit_mobile.images.batches import iterate_batches
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.quantize.layers import find_dense_convolutions, find_layers_before_relu, is_dynamic_by_default
from shvit_mobile.quantize.observers import Observer, create_observer
from shvit_mobile.quantize.overrides import CalibratedRecipe, ParameterOverrides

CalibrationProgress = Callable[[int, int], None]
# Where steps are tried on fewer images, variants of them make up for it.
MIN_IMAGES_WITHOUT_VARIANTS = 32


def calibrate_recipe(
    deployed: DeployForm,
    images: ImageSet | None = None,
    *,
    precision: Precision = "int8",
    observer: ObserverName = "min-max",
    activations: ActivationScheme = "affine",
    count: int = 128,
    seed: int = 0,
    steps: Sequence[PTQPassName] = (),
    progress: CalibrationProgress | None = None,
) -> CalibratedRecipe:
    """The recipe of a precision and its overrides, if it has any; for int8, with the range of what goes into every dense convolution and comes out.

    Args:
        deployed: the model that will be lowered.
        images: what to calibrate on; needed for int8 and ignored otherwise.
        precision: of everything but the kinds in `FLOAT_KINDS`.
        observer: for int8, how a range follows from the values seen: the observer.
        activations: for int8, how integers spread over a range.
        count: how many of `images` to use, balanced over classes where there are labels.
        seed: of that choice.
        steps: towards a better int8, tried in this order and kept where they help: `STEPS` for all. None gives plain
            int8, whose recipe holds ranges alone.
        progress: called with the number of images, or of steps, done and their total.

    Raises:
        BadRecipe: int8 without images.
        BadImages: none of the images can be decoded.
    """
    if precision == "int8-dynamic":
        kept = [name for name, _ in find_dense_convolutions(deployed.module) if not is_dynamic_by_default(name)]
        return Recipe(precision=precision, float_kinds=FLOAT_KINDS, float_layers=tuple(kept)), None
    if precision in PALETTE_PRECISIONS:
        return Recipe(precision=precision, float_kinds=PALETTE_FLOAT_KINDS), None
    if precision != "int8":
        return Recipe(precision=precision), None
    if images is None:
        raise BadRecipe(
            "int8 needs images to calibrate on, and there are none.",
            why="Static int8 fixes the range of every activation in advance; it is measured on real images.",
            hint="Add --calibration DIR with a hundred or more images like those the app will see.",
        )
    chosen = images.sample(count, seed)
    plain = Recipe(precision=precision, float_kinds=FLOAT_KINDS, observer=observer, activations=activations)
    if steps:
        return run_ptq_passes(deployed, chosen, plain, seed=seed, steps=steps, progress=progress)
    ranges: dict[str, ActivationRange] = {}
    used = 0
    with observe_ranges(deployed.module, ranges, observer, activations):
        for batch in iterate_batches(chosen, deployed.trained.preprocessing, size=8, progress=progress):
            run_deploy_form(deployed, batch.pixels)
            used += len(batch.pixels)
    source = describe_calibration_images(chosen, used, seed)
    return plain.model_copy(update={"ranges": ranges, "calibration": source}), None


def run_ptq_passes(
    deployed: DeployForm,
    images: ImageSet,
    base_recipe: Recipe,
    *,
    seed: int,
    steps: Sequence[PTQPassName],
    previous: CalibratedRecipe | None = None,
    on_recipe: Callable[[Recipe, ParameterOverrides | None], None] | None = None,
    progress: CalibrationProgress | None = None,
) -> CalibratedRecipe:
    """`plain` after the steps that helped, with its corrections.

    Args:
        deployed: the model.
        chosen: the calibration images.
        plain: what the recipe is to be besides.
        seed: of the choice of images.
        steps: to be tried, in this order.
        begun: what came of the first of them, where they were tried before.
        each: called with the recipe as it stands at the beginning and after each step.
        progress: called with the number of steps done and their total.

    Raises:
        BadImages: none of the images can be decoded.
    """
    from shvit_mobile.quantize.passes import PTQPassManager, QuantState

    read = [batch.pixels for batch in iterate_batches(images, deployed.trained.preprocessing, size=8)]
    pixels = np.concatenate(read)
    source = describe_calibration_images(
        images, len(pixels), seed, variants=max(0, MIN_IMAGES_WITHOUT_VARIANTS - len(pixels))
    )

    recipe, overrides = previous or (base_recipe, None)
    before = None if previous is None else QuantState(recipe.ranges, overrides or ParameterOverrides())
    pixels = augment_images(pixels, MIN_IMAGES_WITHOUT_VARIANTS, seed)
    manager = PTQPassManager(
        deployed, pixels, observer=base_recipe.observer or "min-max", activations=base_recipe.activations
    )
    for state, gains in manager.run_passes(steps, before, recipe.steps):
        overrides = state.overrides
        fields = {"ranges": dict(state.ranges), "calibration": source, "steps": gains, "corrections": overrides.sha256}
        recipe = base_recipe.model_copy(update=fields)
        if on_recipe is not None:
            on_recipe(recipe, overrides)
        if progress is not None:
            progress(len(gains), len(steps))
    return recipe, overrides


def describe_calibration_images(images: ImageSet, used: int, seed: int, variants: int = 0) -> CalibrationImages:
    return CalibrationImages(
        source=images.root.name, count=used, sha256=images.compute_sha256(), seed=seed, variants=variants
    )


@contextmanager
def observe_ranges(
    module: nn.Module,
    ranges: dict[str, ActivationRange],
    observer: ObserverName = "min-max",
    activations: ActivationScheme = "affine",
    *,
    layers: Container[str] | None = None,
) -> Iterator[None]:
    """While open, every image that passes through `module` is looked at; then `ranges` has what came of it.

    Of `layers`, or of all dense convolutions.
    """
    relus = find_layers_before_relu(module)
    ends: dict[str, tuple[Observer, Observer]] = {}
    hooks = []
    for name, layer in find_dense_convolutions(module):
        if layers is not None and name not in layers:
            continue
        ends[name] = create_observer(observer, activations), create_observer(observer, activations)
        hooks.append(layer.register_forward_hook(partial(update_observers, *ends[name], name in relus)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    ranges |= {
        name: ActivationRange(input=round_range(a.compute_range()), output=round_range(b.compute_range()))
        for name, (a, b) in ends.items()
    }


def round_range(ends: tuple[float, float]) -> tuple[float, float]:
    """A range to five digits: beyond them float32 depends on threads and processor, and an artifact must not."""
    return float(f"{ends[0]:.5g}"), float(f"{ends[1]:.5g}")


def update_observers(
    input_observer: Observer,
    output_observer: Observer,
    relu: bool,
    _: nn.Module,
    inputs: tuple[Tensor, ...],
    output: Tensor,
) -> None:
    input_observer.update(inputs[0])
    output_observer.update(output.relu() if relu else output)


@torch.inference_mode()
def run_deploy_form(deployed: DeployForm, pixels: NDArray[np.uint8]) -> Tensor:
    """The deploy form's logits for some pixels (images, height, width, 3): shape (images, classes)."""
    logits: Tensor = deployed.module(prepare_input(deployed, pixels))
    return logits


def load_input_batches(deployed: DeployForm, images: ImageSet) -> list[Tensor]:
    """Images as the deploy form takes them, in batches: float32, shape (batch, 3, height, width)."""
    read = iterate_batches(images, deployed.trained.preprocessing, size=8)
    return [prepare_input(deployed, batch.pixels) for batch in read]


def prepare_input(deployed: DeployForm, pixels: NDArray[np.uint8]) -> Tensor:
    """Pixels (images, height, width, 3) as the deploy form takes them: float32, shape (images, 3, height, width)."""
    values = (
        convert_to_raw_input(pixels)
        if deployed.input_domain == "pixels"
        else deployed.trained.preprocessing.normalize(pixels)
    )
    return torch.from_numpy(values)

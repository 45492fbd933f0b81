"""Calibration: images in, a recipe with the range of every layer out."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shvit_mobile.contracts.preprocessing import raw
from shvit_mobile.contracts.recipe import (
    FLOAT_KINDS,
    PALETTE_FLOAT_KINDS,
    PALETTES,
    ActivationRange,
    Activations,
    CalibrationImages,
    ObserverName,
    Precision,
    Recipe,
    StepGain,
    StepName,
)
from shvit_mobile.deploy.fold import DeployForm
from shvit_mobile.errors import BadRecipe
from shvit_mobile.images.augment import with_variants
from shvit_mobile.images.batches import batches
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.quantize.layers import before_relu, dense_convolutions, dynamic_by_default
from shvit_mobile.quantize.observers import Observer, observer_named
from shvit_mobile.quantize.overrides import Corrections, corrections_of

Progress = Callable[[int, int], None]
# Where steps are tried on fewer images, variants of them make up for it.
ENOUGH = 32


def calibrate(
    deployed: DeployForm,
    images: ImageSet | None = None,
    *,
    precision: Precision = "int8",
    observer: ObserverName = "min-max",
    activations: Activations = "affine",
    count: int = 128,
    seed: int = 0,
    steps: Sequence[StepName] = (),
    progress: Progress | None = None,
) -> Recipe:
    """The recipe of a precision; for int8, with the range of what goes into every dense convolution and comes out.

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
        kept = [name for name, _ in dense_convolutions(deployed.module) if not dynamic_by_default(name)]
        return Recipe(precision=precision, float_kinds=FLOAT_KINDS, float_layers=tuple(kept))
    if precision in PALETTES:
        return Recipe(precision=precision, float_kinds=PALETTE_FLOAT_KINDS)
    if precision != "int8":
        return Recipe(precision=precision)
    if images is None:
        raise BadRecipe(
            "int8 needs images to calibrate on, and there are none.",
            why="Static int8 fixes the range of every activation in advance; it is measured on real images.",
            hint="Add --calibration DIR with a hundred or more images like those the app will see.",
        )
    chosen = images.sample(count, seed)
    plain = Recipe(precision=precision, float_kinds=FLOAT_KINDS, observer=observer, activations=activations)
    if steps:
        return improved(deployed, chosen, plain, seed=seed, steps=steps, progress=progress)
    ranges: dict[str, ActivationRange] = {}
    used = 0
    with observed(deployed.module, ranges, observer, activations):
        for batch in batches(chosen, deployed.trained.preprocessing, size=8, progress=progress):
            run(deployed, batch.pixels)
            used += len(batch.pixels)
    return plain.model_copy(update={"ranges": ranges, "calibration": images_of(chosen, used, seed)})


def improved(
    deployed: DeployForm,
    chosen: ImageSet,
    plain: Recipe,
    *,
    seed: int,
    steps: Sequence[StepName],
    begun: Recipe | None = None,
    each: Callable[[Recipe], None] | None = None,
    progress: Progress | None = None,
) -> Recipe:
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
    from shvit_mobile.quantize.passes import Attempt, Improvement

    read = [batch.pixels for batch in batches(chosen, deployed.trained.preprocessing, size=8)]
    pixels = np.concatenate(read)
    source = images_of(chosen, len(pixels), seed, variants=max(0, ENOUGH - len(pixels)))

    def told(attempt: Attempt, gains: Sequence[StepGain]) -> Recipe:
        found = {"ranges": dict(attempt.ranges), "calibration": source, "steps": tuple(gains)}
        return plain.model_copy(update=found).made_of(attempt.corrections)

    before = None if begun is None else Attempt(begun.ranges, corrections_of(begun) or Corrections())
    pixels = with_variants(pixels, ENOUGH, seed)
    under_way = Improvement(deployed, pixels, observer=plain.observer or "min-max", activations=plain.activations)
    recipe = plain
    for attempt, gains in under_way.tried(steps, before, begun.steps if begun else ()):
        recipe = told(attempt, gains)
        if each is not None:
            each(recipe)
        if progress is not None:
            progress(len(gains), len(steps))
    return recipe


def images_of(chosen: ImageSet, used: int, seed: int, variants: int = 0) -> CalibrationImages:
    return CalibrationImages(source=chosen.root.name, count=used, sha256=chosen.sha256(), seed=seed, variants=variants)


@contextmanager
def observed(
    module: nn.Module,
    ranges: dict[str, ActivationRange],
    observer: ObserverName = "min-max",
    activations: Activations = "affine",
    *,
    layers: Container[str] | None = None,
) -> Iterator[None]:
    """While open, every image that passes through `module` is looked at; then `ranges` has what came of it.

    Of `layers`, or of all dense convolutions.
    """
    relus = before_relu(module)
    ends: dict[str, tuple[Observer, Observer]] = {}
    hooks = []
    for name, layer in dense_convolutions(module):
        if layers is not None and name not in layers:
            continue
        ends[name] = observer_named(observer, activations), observer_named(observer, activations)
        hooks.append(layer.register_forward_hook(partial(observe, *ends[name], name in relus)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    ranges |= {
        name: ActivationRange(input=settled(a.range()), output=settled(b.range())) for name, (a, b) in ends.items()
    }


def settled(ends: tuple[float, float]) -> tuple[float, float]:
    """A range to five digits: beyond them float32 depends on threads and processor, and an artifact must not."""
    return float(f"{ends[0]:.5g}"), float(f"{ends[1]:.5g}")


def observe(
    before: Observer, behind: Observer, relu: bool, _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
) -> None:
    before.see(inputs[0])
    behind.see(output.relu() if relu else output)


@torch.inference_mode()
def run(deployed: DeployForm, pixels: NDArray[np.uint8]) -> Tensor:
    """The deploy form's logits for some pixels (images, height, width, 3): shape (images, classes)."""
    logits: Tensor = deployed.module(as_taken(deployed, pixels))
    return logits


def pictures(deployed: DeployForm, images: ImageSet) -> list[Tensor]:
    """Images as the deploy form takes them, in batches: float32, shape (batch, 3, height, width)."""
    read = batches(images, deployed.trained.preprocessing, size=8)
    return [as_taken(deployed, batch.pixels) for batch in read]


def as_taken(deployed: DeployForm, pixels: NDArray[np.uint8]) -> Tensor:
    """Pixels (images, height, width, 3) as the deploy form takes them: float32, shape (images, 3, height, width)."""
    values = raw(pixels) if deployed.takes == "pixels" else deployed.trained.preprocessing.normalised(pixels)
    return torch.from_numpy(values)

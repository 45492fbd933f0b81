"""Calibration: images in, a recipe with the range of every layer out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shvit_mobile.deploy.fuse import DeployForm
from shvit_mobile.errors import BadRecipe
from shvit_mobile.images.batches import batches
from shvit_mobile.images.folders import ImageSet
from shvit_mobile.images.preprocessing import raw
from shvit_mobile.quantize.layers import before_relu, dense_convolutions, dynamic_by_default
from shvit_mobile.quantize.observers import Observer, observer_named
from shvit_mobile.quantize.recipe import (
    FLOAT_KINDS,
    PALETTE_FLOAT_KINDS,
    PALETTES,
    ActivationRange,
    Activations,
    CalibrationImages,
    ObserverName,
    Precision,
    Recipe,
)

Progress = Callable[[int, int], None]


def calibrate(
    deployed: DeployForm,
    images: ImageSet | None = None,
    *,
    precision: Precision = "int8",
    observer: ObserverName = "min-max",
    activations: Activations = "affine",
    count: int = 128,
    seed: int = 0,
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
        progress: called with the number of images done and their total.

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
    ranges: dict[str, ActivationRange] = {}
    used = 0
    with observed(deployed.module, ranges, observer, activations):
        for batch in batches(chosen, deployed.trained.preprocessing, size=8, progress=progress):
            run(deployed, batch.pixels)
            used += len(batch.pixels)
    return Recipe(
        precision=precision,
        float_kinds=FLOAT_KINDS,
        observer=observer,
        activations=activations,
        ranges=ranges,
        calibration=CalibrationImages(source=chosen.root.name, count=used, sha256=chosen.sha256(), seed=seed),
    )


@contextmanager
def observed(
    module: nn.Module,
    ranges: dict[str, ActivationRange],
    observer: ObserverName = "min-max",
    activations: Activations = "affine",
) -> Iterator[None]:
    """While open, every image that passes through `module` is looked at; then `ranges` has what came of it."""
    relus = before_relu(module)
    ends: dict[str, tuple[Observer, Observer]] = {}
    hooks = []
    for name, layer in dense_convolutions(module):
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
    values = raw(pixels) if deployed.takes == "pixels" else deployed.trained.preprocessing.normalised(pixels)
    logits: Tensor = deployed.module(torch.from_numpy(values))
    return logits

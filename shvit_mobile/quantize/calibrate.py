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
from shvit_mobile.quantize.layers import dense_convolutions, dynamic_by_default
from shvit_mobile.quantize.recipe import FLOAT_KINDS, ActivationRange, CalibrationImages, Precision, Recipe

Progress = Callable[[int, int], None]


def calibrate(
    deployed: DeployForm,
    images: ImageSet | None = None,
    *,
    precision: Precision = "int8",
    count: int = 128,
    seed: int = 0,
    progress: Progress | None = None,
) -> Recipe:
    """The recipe of a precision; for int8, with the smallest and largest value at every dense convolution.

    Args:
        deployed: the model that will be lowered.
        images: what to calibrate on; needed for int8 and ignored otherwise.
        precision: of everything but the kinds in `FLOAT_KINDS`.
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
    with observed(deployed.module, ranges):
        for batch in batches(chosen, deployed.trained.preprocessing, size=8, progress=progress):
            run(deployed, batch.pixels)
            used += len(batch.pixels)
    return Recipe(
        precision=precision,
        float_kinds=FLOAT_KINDS,
        observer="min-max",
        ranges=ranges,
        calibration=CalibrationImages(source=chosen.root.name, count=used, sha256=chosen.sha256(), seed=seed),
    )


@contextmanager
def observed(module: nn.Module, ranges: dict[str, ActivationRange]) -> Iterator[None]:
    """While open, every image that passes through `module` widens `ranges`."""
    hooks = [layer.register_forward_hook(partial(observe, ranges, name)) for name, layer in dense_convolutions(module)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def observe(
    ranges: dict[str, ActivationRange], name: str, _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
) -> None:
    seen = ActivationRange(input=extent(inputs[0]), output=extent(output))
    known = ranges.get(name, seen)
    ranges[name] = ActivationRange(input=hull(known.input, seen.input), output=hull(known.output, seen.output))


def extent(values: Tensor) -> tuple[float, float]:
    low, high = torch.aminmax(values)
    return float(low), float(high)


def hull(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    """The smallest range that holds both."""
    return min(first[0], second[0]), max(first[1], second[1])


@torch.inference_mode()
def run(deployed: DeployForm, pixels: NDArray[np.uint8]) -> Tensor:
    """The deploy form's logits for some pixels (images, height, width, 3): shape (images, classes)."""
    values = raw(pixels) if deployed.takes == "pixels" else deployed.trained.preprocessing.normalised(pixels)
    logits: Tensor = deployed.module(torch.from_numpy(values))
    return logits

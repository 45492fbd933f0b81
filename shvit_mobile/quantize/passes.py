"""A better int8 before any layer is given up: steps that are tried one after the other, and kept where they help.

Each is judged on calibration images that it did not see, by the SQNR of the logits in simulated int8.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from shvit_mobile.contracts.recipe import ActivationRange, ActivationScheme, ObserverName, PTQPassGain, PTQPassName
from shvit_mobile.deploy.equalization_groups import find_equalization_groups, is_conv, scale_channels
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.families.shvit import SHViT
from shvit_mobile.quantize.affine import WEIGHT_MAX, compute_channel_scales, quantize_weight
from shvit_mobile.quantize.equalize import compute_equalization_exponents
from shvit_mobile.quantize.fake_quant import fake_quantize
from shvit_mobile.quantize.gptq import round_with_gptq
from shvit_mobile.quantize.layers import (
    FIRST_LAYERS,
    PIXEL_MEAN_BUFFER,
    find_dense_convolutions,
    find_layers_before_relu,
    get_bias,
)
from shvit_mobile.quantize.observation import observe_ranges
from shvit_mobile.quantize.overrides import ParameterOverrides, override_parameters

# Positions of a batch that a layer's moments are taken from: more of them say the same again.
MAX_POSITIONS = 16_384
# Images that judge, at most; and the fewest at which some are put aside for it.
MAX_HELD_OUT, MIN_IMAGES_TO_SPLIT = 64, 8
# In dB: what a step has to gain. Less is chance, and each step kept is one more that a reader has to believe.
MIN_GAIN_DB = 0.05
BATCH = 16
# Steps that change which integers weights become.
WEIGHT_PASSES: tuple[PTQPassName, ...] = ("clip", "round", "bias")
# What a scale is tried at, as a share of the one that holds the channel's largest weight.
CLIP_RATIOS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)


@dataclass(frozen=True, eq=False)
class QuantState:
    """int8 as it stands after some steps: ranges of the deploy form with corrections."""

    ranges: Mapping[str, ActivationRange]
    overrides: ParameterOverrides = field(default_factory=ParameterOverrides)


@dataclass(frozen=True, eq=False)
class InputMoments:
    """What a layer multiplies, over calibration images.

    Attributes:
        moments: E x x^T, float64, shape (n, n), n the elements of an output channel's weight.
        mean: E x, float64, shape (n,).
    """

    moments: Tensor
    mean: Tensor


class PTQPassManager:
    """Steps under way: what they learn from, and what judges them.

    Args:
        deployed: the model.
        pixels: of the calibration images, uint8, shape (images, height, width, 3).
        observer: how ranges follow from values.
        activations: what ranges are used for.
    """

    def __init__(
        self,
        deployed: DeployForm,
        pixels: NDArray[np.uint8],
        *,
        observer: ObserverName = "mse",
        activations: ActivationScheme = "affine",
    ) -> None:
        self.deployed, self.observer, self.activations = deployed, observer, activations
        learn, judges = split_calibration_pixels(pixels)
        self.learn, self.judges = InputBatches(deployed, learn), InputBatches(deployed, judges)
        self.expected = compute_logits(deployed.module, self.judges)
        self.layers = tuple(name for name, _ in find_dense_convolutions(deployed.module))
        self.seen: tuple[str, dict[str, InputMoments]] | None = None
        self.steps: dict[PTQPassName, Callable[[QuantState], QuantState]] = {
            "whole-pixels": self.make_input_exact,
            "equalise": self.equalize,
            "clip": self.clip_weights,
            "round": self.round_weights,
            "bias": self.correct_biases,
        }

    def calibrate_baseline(self) -> QuantState:
        """Plain int8."""
        return QuantState(self.measure_ranges(self.deployed.module))

    def evaluate(self, attempt: QuantState, *, weights: bool = True) -> float:
        """SQNR of the logits in dB, on the images put aside; with `weights` in int8, or activations alone."""
        simulation = fake_quantize(
            self.build_quantized_form(attempt), dict(attempt.ranges), self.activations, weights=weights
        )
        noise = (compute_logits(simulation, self.judges) - self.expected).double().square().sum()
        return float(10 * torch.log10(self.expected.double().square().sum() / noise))

    def run_passes(
        self, steps: Sequence[PTQPassName], begun: QuantState | None = None, gains: Sequence[PTQPassGain] = ()
    ) -> Iterator[tuple[QuantState, tuple[PTQPassGain, ...]]]:
        """The steps one after the other, each kept where it helps: what stands before the first and after each.

        Args:
            steps: in this order.
            begun: what came of the first of them, where they were tried before.
            gains: of those.
        """
        attempt, told = begun or self.calibrate_baseline(), list(gains)
        yield attempt, tuple(told)
        levels = {weights: self.evaluate(attempt, weights=weights) for weights in (False, True)}
        for step in steps[len(told) :]:
            # How weights are rounded is chosen later, so what activations gain is judged without it.
            weights = step in WEIGHT_PASSES
            changed, before = self.steps[step](attempt), levels[weights]
            after = before if changed is attempt else self.evaluate(changed, weights=weights)
            kept = after > before + MIN_GAIN_DB
            told.append(
                PTQPassGain(step=step, before_db=round_decibels(before), after_db=round_decibels(after), kept=kept)
            )
            if kept:
                attempt = changed
                levels = {weights: after, (not weights): self.evaluate(attempt, weights=not weights)}
            yield attempt, tuple(told)

    def build_quantized_form(self, attempt: QuantState) -> SHViT:
        """The deploy form with an attempt's corrections, its int8 weights rounded."""
        return override_parameters(self.scale_channels(attempt), attempt.overrides, self.layers)

    def scale_channels(self, attempt: QuantState) -> SHViT:
        return scale_channels(self.deployed.module, attempt.overrides.exponents)

    def build_unrounded_form(self, attempt: QuantState) -> SHViT:
        """What weights are rounded from."""
        kept = replace(attempt.overrides, integers={}, scales={})
        return override_parameters(self.scale_channels(attempt), kept, self.layers)

    def measure_ranges(self, module: SHViT, layers: Container[str] | None = None) -> dict[str, ActivationRange]:
        """Of some layers, or of all."""
        found: dict[str, ActivationRange] = {}
        with observe_ranges(module, found, self.observer, self.activations, layers=layers):
            compute_logits(module, self.learn)
        return found

    def make_input_exact(self, attempt: QuantState) -> QuantState:
        """Pixels less a whole number are int8 with the scale 1, without an error.

        What the stem pads with then means that number, and not the mean; it is as near to the mean as the colours'
        weights in the stem allow.
        """
        if self.deployed.input_domain != "pixels":
            return attempt
        name = FIRST_LAYERS[0]
        layer, mean = (
            get_convolution(self.build_unrounded_form(attempt), name),
            self.deployed.module.get_buffer(PIXEL_MEAN_BUFFER).flatten(),
        )
        share = layer.weight.square().sum((0, 2, 3))
        middle = float((share * mean).sum() / share.sum().clamp(min=1e-30))
        # 0 to 255 less any of these lies within int8.
        middle = min(max(round(middle), 0), 255)
        offset = torch.full_like(mean, middle)
        bias = get_bias(layer) + layer.weight.sum((2, 3)) @ (offset - mean)
        corrections = replace(attempt.overrides, mean=offset, biases={**attempt.overrides.biases, name: bias.detach()})
        seen = attempt.ranges[name].model_copy(update={"input": (-float(middle), 255.0 - middle)})
        return QuantState({**attempt.ranges, name: seen}, corrections)

    def equalize(self, attempt: QuantState) -> QuantState:
        """Channels of a chain brought together, a kind of chain at a time, where it helps."""
        sizes = measure_output_magnitudes(self.deployed.module, self.learn)
        found = list(find_equalization_groups(self.deployed.module))
        changes = compute_equalization_exponents(self.deployed.module, sizes)
        level = self.evaluate(attempt, weights=False)
        for kind in dict.fromkeys(chain.kind for chain in found):
            changed = self.apply_exponents(
                attempt, {chain.name: changes[chain.name] for chain in found if chain.kind == kind}
            )
            reached = self.evaluate(changed, weights=False)
            if reached > level + MIN_GAIN_DB:
                attempt, level = changed, reached
        return attempt

    def apply_exponents(self, attempt: QuantState, more: Mapping[str, Tensor]) -> QuantState:
        """The attempt with further chains equalised, and the ranges that their layers then have."""
        kept = {**attempt.overrides.exponents, **{name: values for name, values in more.items() if values.any()}}
        corrections = replace(attempt.overrides, exponents=kept)
        changed = QuantState(attempt.ranges, replace(corrections, biases=self.rescale_biases(attempt, corrections)))
        ends = {
            end
            for chain in find_equalization_groups(self.deployed.module)
            if chain.name in more
            for end in chain.layers
        }
        ranges = self.measure_ranges(self.build_unrounded_form(changed), ends)
        first = FIRST_LAYERS[0]
        if first in ranges:
            # The chain begins behind it.
            ranges[first] = ranges[first].model_copy(update={"input": attempt.ranges[first].input})
        return replace(changed, ranges={**attempt.ranges, **ranges})

    def rescale_biases(self, attempt: QuantState, corrections: ParameterOverrides) -> dict[str, Tensor]:
        """Corrected biases as large as their channels now are."""
        before, after = self.scale_channels(attempt), scale_channels(self.deployed.module, corrections.exponents)
        return {
            name: bias
            * compute_bias_ratio(get_bias(get_convolution(after, name)), get_bias(get_convolution(before, name)))
            for name, bias in attempt.overrides.biases.items()
        }

    def clip_weights(self, attempt: QuantState) -> QuantState:
        """Scales in which the output changes least where each weight goes to its nearest integer."""
        module, scales = self.build_unrounded_form(attempt), {}
        for name, inputs in self.collect_input_moments(attempt).items():
            scales[name] = search_clipped_scales(get_convolution(module, name).weight, inputs.moments.diagonal())
        integers = {name: quantize_weight(get_convolution(module, name).weight, scales[name])[0] for name in scales}
        return replace(attempt, overrides=replace(attempt.overrides, scales=scales, integers=integers))

    def round_weights(self, attempt: QuantState) -> QuantState:
        """Integers by which the output changes least."""
        module, integers = self.build_unrounded_form(attempt), {}
        scales = dict(attempt.overrides.scales)
        for name, inputs in self.collect_input_moments(attempt).items():
            weight = get_convolution(module, name).weight
            scales.setdefault(name, compute_channel_scales(weight))
            integers[name] = round_with_gptq(weight, scales[name], inputs.moments)
        return replace(attempt, overrides=replace(attempt.overrides, scales=scales, integers=integers))

    def correct_biases(self, attempt: QuantState) -> QuantState:
        """What rounding adds to the mean of an output is taken from its bias."""
        before, after, biases = (
            self.build_unrounded_form(attempt),
            self.build_quantized_form(attempt),
            dict(attempt.overrides.biases),
        )
        for name, inputs in self.collect_input_moments(attempt).items():
            steps, scales = quantize_weight(get_convolution(after, name).weight, attempt.overrides.scales.get(name))
            added = (steps * scales.reshape(-1, 1, 1, 1) - get_convolution(before, name).weight).flatten(
                1
            ).double() @ inputs.mean
            biases[name] = (get_bias(get_convolution(after, name)).double() - added).float()
        return replace(attempt, overrides=replace(attempt.overrides, biases=biases))

    def collect_input_moments(self, attempt: QuantState) -> dict[str, InputMoments]:
        """What layers multiply in float; the same for every step that only rounds weights."""
        form = replace(attempt.overrides, integers={}, scales={}, biases={}).sha256
        if self.seen is None or self.seen[0] != form:
            self.seen = form, measure_input_moments(self.build_unrounded_form(attempt), self.learn)
        return self.seen[1]


def round_decibels(level: float) -> float:
    """dB to two digits behind the point."""
    return round(level, 2)


def split_calibration_pixels(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """What is learnt from and what judges; the same where there are too few to put any aside."""
    if len(pixels) < MIN_IMAGES_TO_SPLIT:
        return pixels, pixels
    judges = min(MAX_HELD_OUT, len(pixels) // 4)
    return pixels[judges:], pixels[:judges]


@dataclass(frozen=True, eq=False)
class InputBatches:
    """Images as a deploy form takes them, in batches: float32, shape (batch, 3, height, width)."""

    deployed: DeployForm
    pixels: NDArray[np.uint8]

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, len(self.pixels), BATCH):
            yield self.deployed.prepare(self.pixels[start : start + BATCH])


@torch.inference_mode()
def compute_logits(module: nn.Module, images: Iterable[Tensor]) -> Tensor:
    """Logits, shape (images, classes)."""
    return torch.cat([module(batch) for batch in images])


def measure_output_magnitudes(module: SHViT, images: Iterable[Tensor]) -> dict[str, Tensor]:
    """The largest magnitude of each output channel of each convolution, behind its relu where it has one."""
    relus = find_layers_before_relu(module)
    sizes: dict[str, Tensor] = {}

    def look(name: str, _: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        now = (output.relu() if name in relus else output.abs()).amax((0, 2, 3))
        sizes[name] = torch.maximum(sizes[name], now) if name in sizes else now

    with hook_convolutions(module, look):
        compute_logits(module, images)
    return sizes


def measure_input_moments(module: SHViT, images: Iterable[Tensor]) -> dict[str, InputMoments]:
    """Moments of what each dense convolution multiplies."""
    moments: dict[str, Tensor] = {}
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    dense_layers = {name for name, _ in find_dense_convolutions(module)}

    def look(name: str, layer: nn.Module, given: tuple[Tensor, ...], _: Tensor) -> None:
        if name in dense_layers and isinstance(layer, nn.Conv2d):
            rows = unfold_input(layer, given[0])
            moments[name] = moments.get(name, 0) + (rows.T @ rows).double()
            sums[name] = sums.get(name, 0) + rows.sum(0).double()
            counts[name] = counts.get(name, 0) + len(rows)

    with hook_convolutions(module, look):
        compute_logits(module, images)
    return {name: InputMoments(moments[name] / counts[name], sums[name] / counts[name]) for name in moments}


@contextmanager
def hook_convolutions(
    module: nn.Module, callback: Callable[[str, nn.Module, tuple[Tensor, ...], Tensor], None]
) -> Iterator[None]:
    """While open, `look` is called with the name, input and output of each convolution that has run."""
    hooks = [
        layer.register_forward_hook(partial(callback, name)) for name, layer in module.named_modules() if is_conv(layer)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def unfold_input(layer: nn.Conv2d, inputs: Tensor) -> Tensor:
    """The rows that a convolution multiplies by its weights, shape (positions, elements of a channel's weight)."""
    if layer.kernel_size == (1, 1):
        rows = inputs.flatten(2).transpose(1, 2).flatten(0, 1)
    else:
        if isinstance(layer.padding, str):
            raise TypeError("a convolution of the deploy form does not pad by name")
        columns = F.unfold(inputs, layer.kernel_size, padding=layer.padding, stride=layer.stride)
        rows = columns.transpose(1, 2).flatten(0, 1)
    return rows[:: max(1, len(rows) // MAX_POSITIONS)]


def search_clipped_scales(weight: Tensor, energy: Tensor) -> Tensor:
    """The scale of each output channel in which its weights' errors, each squared times `energy`, sum to the least.

    Args:
        weight: float, shape (out channels, ...).
        energy: E x^2 of what each element is multiplied by, shape (n,).
    """
    rows, usual = weight.detach().flatten(1).double(), compute_channel_scales(weight)
    scales = torch.stack([(usual * share).float() for share in CLIP_RATIOS])
    steps = scales.double()[:, :, None]
    errors = ((rows / steps).round().clamp(-WEIGHT_MAX, WEIGHT_MAX) * steps - rows).square() @ energy
    return scales.gather(0, errors.argmin(0)[None])[0]


def get_convolution(module: nn.Module, name: str) -> nn.Conv2d:
    layer = module.get_submodule(name)
    if not isinstance(layer, nn.Conv2d):
        raise TypeError(f"{name} is no convolution")
    return layer


def compute_bias_ratio(after: Tensor, before: Tensor) -> Tensor:
    """By what biases were multiplied; 1 where there is nothing."""
    return torch.where(before != 0, after / before, 1.0)

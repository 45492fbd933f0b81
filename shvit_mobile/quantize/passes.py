"""PTQ passes: improvements of int8 that are tried one after the other, and kept if they help.

Each is evaluated on calibration images that it did not learn from, by the SQNR of the logits of simulated int8; of
several maps, by that of the map that is worst.
Recipes, manifests and the phone apps know the passes by their first names ("whole-pixels", "round"). These stay in the
JSON, so that a new calibration writes the same recipe, with the same SHA-256; people read the names of `PASS_NAMES`.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock, local
from weakref import WeakKeyDictionary

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from shvit_mobile.contracts.recipe import ActivationRange, ActivationScheme, ObserverName, PTQPassGain, PTQPassName
from shvit_mobile.deploy.equalization_groups import scale_channels
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.layers import get_bias, get_layer, hook_layers
from shvit_mobile.deploy.verification import list_tensors
from shvit_mobile.deploy.wiring import Wiring
from shvit_mobile.families.batchnorm import WeightedLayer
from shvit_mobile.metrics import sqnr
from shvit_mobile.quantize.affine import WEIGHT_MAX, compute_channel_scales, dequantize_weight, quantize_weight
from shvit_mobile.quantize.equalize import compute_equalization_exponents
from shvit_mobile.quantize.fake_quant import fake_quantize
from shvit_mobile.quantize.gptq import round_with_gptq
from shvit_mobile.quantize.layers import DenseLayer, find_dense_layers
from shvit_mobile.quantize.observation import observe_ranges, share_ranges
from shvit_mobile.quantize.overrides import ParameterOverrides, override_parameters
from shvit_mobile.threads import choose_batch_size, map_in_order

# The most positions of a batch that a layer's moments are computed from: more of them add nothing.
_MAX_POSITIONS = 16_384
# The most images that are held out, and the fewest of which any are.
MAX_HELD_OUT, MIN_IMAGES_TO_SPLIT = 64, 8
# What a pass has to gain, in dB: less may be chance.
MIN_GAIN_DB = 0.05
_BATCH = 16
# Passes that change which integers weights become.
_WEIGHT_PASSES: tuple[PTQPassName, ...] = ("clip", "round", "bias")
# Scales that are tried, relative to the one that holds the channel's largest weight.
_CLIP_RATIOS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)


@dataclass(frozen=True, eq=False)
class QuantState:
    """int8 after some passes: the ranges of the deploy form with overrides."""

    ranges: Mapping[str, ActivationRange]
    overrides: ParameterOverrides = field(default_factory=ParameterOverrides)


@dataclass(frozen=True, eq=False)
class _InputMoments:
    """The moments of a layer's input x over calibration images, x being what one output value is computed from.

    Attributes:
        moments: E x x^T, float64, shape (n, n), n the elements of an output channel's weight.
        mean: E x, float64, shape (n,).
    """

    moments: Tensor
    mean: Tensor


class PTQPassManager:
    """PTQ passes in progress, with the images they learn from and the images they are evaluated on.

    Args:
        deployed: The model.
        pixels: The calibration images, uint8, shape (images, height, width, 3).
        observer: How a range is derived from the observed values.
        activations: How int8 divides a range into integers.
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
        fit_pixels, held_out_pixels = split_calibration_pixels(pixels)
        self.fit_images = _InputBatches(deployed, fit_pixels)
        self.held_out_images = _InputBatches(deployed, held_out_pixels)
        self.reference_outputs = _compute_outputs(deployed.module, self.held_out_images)
        self.layers = tuple(name for name, _ in find_dense_layers(deployed.module))
        self.moments_cache: tuple[str, dict[str, _InputMoments]] | None = None
        self.levels = WeakKeyDictionary[QuantState, dict[bool, float]]()
        self.passes: dict[PTQPassName, Callable[[QuantState], QuantState]] = {
            "whole-pixels": self.make_input_exact,
            "equalise": self.equalize,
            "clip": self.clip_weights,
            "round": self.round_weights,
            "bias": self.correct_biases,
        }

    def calibrate_baseline(self) -> QuantState:
        """Return plain int8."""
        return QuantState(self.measure_ranges(self.deployed.module))

    def evaluate(self, state: QuantState, *, weights: bool = True) -> float:
        """Compute the SQNR of the outputs on the images held out, in dB, once; if not `weights`, with float weights."""
        known = self.levels.setdefault(state, {})
        if weights not in known:
            known[weights] = self._compute_level(state, weights=weights)
        return known[weights]

    def _compute_level(self, state: QuantState, *, weights: bool) -> float:
        form, ranges = self.build_quantized_form(state), dict(state.ranges)
        simulation = fake_quantize(form, self.deployed.wiring, ranges, self.activations, weights=weights)
        outputs = _compute_outputs(simulation, self.held_out_images)
        return min(map(compute_output_sqnr, self.reference_outputs, outputs))

    def run_passes(
        self, steps: Sequence[PTQPassName], state: QuantState | None = None, gains: Sequence[PTQPassGain] = ()
    ) -> Iterator[tuple[QuantState, tuple[PTQPassGain, ...]]]:
        """Try passes in order and keep those that help; yield state and gains before the first and after each.

        Args:
            steps: The passes.
            state: The state after the first of them, if they were tried before.
            gains: The gains of those.
        """
        state, gains = state or self.calibrate_baseline(), tuple(gains)
        yield state, gains
        for step in steps[len(gains) :]:
            # The rounding of weights is chosen later, so passes that change activations are evaluated without it.
            weights = step in _WEIGHT_PASSES
            changed, before = self.passes[step](state), self.evaluate(state, weights=weights)
            after = self.evaluate(changed, weights=weights)
            kept = after > before + MIN_GAIN_DB
            gain = PTQPassGain(step=step, before_db=round(before, 2), after_db=round(after, 2), kept=kept)
            gains = (*gains, gain)
            state = changed if kept else state
            yield state, gains

    def build_quantized_form(self, state: QuantState) -> nn.Module:
        """Return the deploy form with all overrides of a state."""
        return override_parameters(self.scale_channels(state), state.overrides, self.layers)

    def scale_channels(self, state: QuantState) -> DeployForm:
        groups = self.deployed.wiring.groups
        return self.deployed.replace_module(scale_channels(self.deployed.module, groups, state.overrides.exponents))

    def build_unrounded_form(self, state: QuantState) -> nn.Module:
        """Return the deploy form with the overrides of a state, but with float weights."""
        overrides = replace(state.overrides, integers={}, scales={})
        return override_parameters(self.scale_channels(state), overrides, self.layers)

    def measure_ranges(self, module: nn.Module, layers: Container[str] | None = None) -> dict[str, ActivationRange]:
        """Measure the ranges of `layers` (default: all)."""
        ranges: dict[str, ActivationRange] = {}
        with observe_ranges(module, self.deployed.wiring, ranges, self.observer, self.activations, layers=layers):
            _compute_outputs(module, self.fit_images)
        return ranges

    def make_input_exact(self, state: QuantState) -> QuantState:
        """Subtract an integer from pixels in place of the mean: at scale 1, int8 then holds them without an error.

        The stem's padding stands for that integer and no longer for the mean. The integer is the mean of the colors
        weighted by the stem's weights, rounded.
        """
        buffer, layers = self.deployed.mean_name, self.deployed.first_layers
        if buffer is None or len(layers) != 1 or layers[0] not in state.ranges:
            return state
        (name,) = layers
        layer = get_layer(self.build_unrounded_form(state), name)
        mean = self.deployed.module.get_buffer(buffer).flatten()
        share = layer.weight.square().sum((0, 2, 3))
        middle = float((share * mean).sum() / share.sum().clamp(min=1e-30))
        # The difference of 0 to 255 and any integer in between fits int8.
        middle = min(max(round(middle), 0), 255)
        offset = torch.full_like(mean, middle)
        bias = get_bias(layer) + layer.weight.sum((2, 3)) @ (offset - mean)
        overrides = replace(
            state.overrides, means={buffer: offset}, biases={**state.overrides.biases, name: bias.detach()}
        )
        seen = state.ranges[name].model_copy(update={"input": (-float(middle), 255.0 - middle)})
        return QuantState({**state.ranges, name: seen}, overrides)

    def equalize(self, state: QuantState) -> QuantState:
        """Equalize the channels of equalization groups, one kind of group at a time, if that helps."""
        magnitudes = measure_output_magnitudes(self.deployed.module, self.deployed.wiring, self.fit_images)
        groups = self.deployed.wiring.groups
        exponents = compute_equalization_exponents(groups, magnitudes)
        level = self.evaluate(state, weights=False)
        kinds = {group.name: self.deployed.trained.family.get_group_kind(group.producer.layer) for group in groups}
        for kind in dict.fromkeys(kinds.values()):
            if kind is None:
                continue
            of_kind = {name: exponents[name] for name in kinds if kinds[name] == kind}
            changed = self.apply_exponents(state, of_kind)
            changed_level = self.evaluate(changed, weights=False)
            if changed_level > level + MIN_GAIN_DB:
                state, level = changed, changed_level
        return state

    def apply_exponents(self, state: QuantState, exponents: Mapping[str, Tensor]) -> QuantState:
        """Scale further equalization groups, and measure the new ranges of their layers."""
        nonzero = {name: values for name, values in exponents.items() if values.any()}
        overrides = replace(state.overrides, exponents={**state.overrides.exponents, **nonzero})
        changed = QuantState(state.ranges, replace(overrides, biases=self.rescale_biases(state, overrides)))
        groups = self.deployed.wiring.groups
        layers = {layer for group in groups if group.name in exponents for layer in group.layers}
        ranges = self.measure_ranges(self.build_unrounded_form(changed), layers)
        for first in ranges.keys() & set(self.deployed.first_layers):
            # Its output is scaled, its input is not.
            ranges[first] = ranges[first].model_copy(update={"input": state.ranges[first].input})
        ranges = {**state.ranges, **ranges}
        share_ranges(ranges, self.deployed.wiring)
        return replace(changed, ranges=ranges)

    def rescale_biases(self, state: QuantState, overrides: ParameterOverrides) -> dict[str, Tensor]:
        """Return the overridden biases of a state, scaled as the channels of `overrides` are."""
        before = self.scale_channels(state).module
        after = scale_channels(self.deployed.module, self.deployed.wiring.groups, overrides.exponents)
        biases = {}
        for name, bias in state.overrides.biases.items():
            old, new = (get_bias(get_layer(module, name)) for module in (before, after))
            # Without a bias the ratio is 1.
            biases[name] = bias * torch.where(old != 0, new / old, 1.0)
        return biases

    def clip_weights(self, state: QuantState) -> QuantState:
        """Choose the scales at which rounding to nearest changes each layer's output least."""
        module, scales, integers = self.build_unrounded_form(state), {}, {}
        for name, inputs in self.collect_input_moments(state).items():
            weight = get_layer(module, name).weight
            scales[name] = _search_clipped_scales(weight, inputs.moments.diagonal())
            integers[name] = quantize_weight(weight, scales[name])[0]
        return replace(state, overrides=replace(state.overrides, scales=scales, integers=integers))

    def round_weights(self, state: QuantState) -> QuantState:
        """Choose the integers that change each layer's output least."""
        module, moments = self.build_unrounded_form(state), self.collect_input_moments(state)
        weights = {name: get_layer(module, name).weight for name in moments}
        scales = {name: compute_channel_scales(weight) for name, weight in weights.items()} | dict(
            state.overrides.scales
        )
        rounded = map_in_order(
            lambda name: round_with_gptq(weights[name], scales[name], moments[name].moments), moments
        )
        integers = dict(zip(moments, rounded, strict=True))
        return replace(state, overrides=replace(state.overrides, scales=scales, integers=integers))

    def correct_biases(self, state: QuantState) -> QuantState:
        """Subtract from each bias what rounding adds to the mean of the output."""
        unrounded, quantized = self.build_unrounded_form(state), self.build_quantized_form(state)
        biases = dict(state.overrides.biases)
        for name, inputs in self.collect_input_moments(state).items():
            layer = get_layer(quantized, name)
            rounded = dequantize_weight(*quantize_weight(layer.weight, state.overrides.scales.get(name)))
            error = rounded - get_layer(unrounded, name).weight
            biases[name] = (get_bias(layer).double() - error.flatten(1).double() @ inputs.mean).float()
        return replace(state, overrides=replace(state.overrides, biases=biases))

    def collect_input_moments(self, state: QuantState) -> dict[str, _InputMoments]:
        """Measure the input moments of each layer in float, once for all passes that only change the rounding."""
        key = replace(state.overrides, integers={}, scales={}, biases={}).sha256
        if self.moments_cache is None or self.moments_cache[0] != key:
            self.moments_cache = key, _measure_input_moments(self.build_unrounded_form(state), self.fit_images)
        return self.moments_cache[1]


def split_calibration_pixels(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Split images into those to learn from and those held out; of a few images, return all as both."""
    if len(pixels) < MIN_IMAGES_TO_SPLIT:
        return pixels, pixels
    held_out = min(MAX_HELD_OUT, len(pixels) // 4)
    return pixels[held_out:], pixels[:held_out]


@dataclass(frozen=True, eq=False)
class _InputBatches:
    """The input of a deploy form in batches: float32, shape (batch, 3, height, width)."""

    deployed: DeployForm
    pixels: NDArray[np.uint8]

    def __iter__(self) -> Iterator[Tensor]:
        step = choose_batch_size(_BATCH, self.pixels.shape[1:3])
        for start in range(0, len(self.pixels), step):
            yield self.deployed.prepare(self.pixels[start : start + step])


@torch.inference_mode()
def _compute_outputs(module: nn.Module, images: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """Compute logits, shape (images, classes), or maps, shape (images, channels, height, width)."""
    parts = map_in_order(lambda batch: list_tensors(module(batch)), images)
    return tuple(map(torch.cat, zip(*parts, strict=True)))


def compute_output_sqnr(reference: Tensor, actual: Tensor) -> float:
    """Compute the SQNR of an output of any shape, (images, ...)."""
    return sqnr(reference.flatten(1).numpy(), actual.flatten(1).numpy())


def measure_output_magnitudes(module: nn.Module, wiring: Wiring, images: Iterable[Tensor]) -> dict[str, Tensor]:
    """Measure the largest magnitude of each output channel of each layer, after what limits it."""
    magnitudes: dict[str, Tensor] = {}
    lock = Lock()

    def update_magnitudes(name: str, layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        limits = wiring.limits.get(name)
        values = (output.clamp(*limits) if limits else output).abs()
        largest = values.movedim(-1 if isinstance(layer, nn.Linear) else 1, 0).flatten(1).amax(1)
        with lock:
            magnitudes[name] = torch.maximum(magnitudes[name], largest) if name in magnitudes else largest

    layers = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, WeightedLayer)]
    with hook_layers(layers, update_magnitudes):
        _compute_outputs(module, images)
    return magnitudes


def _measure_input_moments(module: nn.Module, images: Iterable[Tensor]) -> dict[str, _InputMoments]:
    """Measure the input moments of each dense layer."""
    moments: dict[str, Tensor] = {}
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    in_thread = local()  # sums of float numbers depend on their order, so each batch has its own

    def store_moments(name: str, layer: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        rows = _unfold_input(layer, inputs[0])  # type: ignore[arg-type]
        found = (rows.T @ rows, rows.sum(0), len(rows))
        before = in_thread.moments.get(name)  # of an earlier call of the same layer
        in_thread.moments[name] = tuple(a + b for a, b in zip(before, found, strict=True)) if before else found

    def measure_batch(batch: Tensor) -> dict[str, tuple[Tensor, Tensor, int]]:
        in_thread.moments = {}
        module(batch)
        return in_thread.moments

    with hook_layers(find_dense_layers(module), store_moments), torch.inference_mode():
        for found in map_in_order(measure_batch, images):
            for name, (product, total, count) in found.items():
                moments[name] = moments.get(name, 0) + product.double()
                sums[name] = sums.get(name, 0) + total.double()
                counts[name] = counts.get(name, 0) + count
    return {name: _InputMoments(moments[name] / counts[name], sums[name] / counts[name]) for name in moments}


def _unfold_input(layer: DenseLayer, inputs: Tensor) -> Tensor:
    """Return the rows that a layer multiplies by its weights, shape (positions, elements of a weight row)."""
    if isinstance(layer, nn.Linear):
        return _thin_out(inputs.flatten(0, -2))
    if layer.kernel_size == (1, 1) and layer.stride == (1, 1):
        columns = inputs.flatten(2)
    else:
        columns = F.unfold(
            inputs, layer.kernel_size, dilation=layer.dilation, padding=_get_padding(layer), stride=layer.stride
        )
    return _thin_out(columns.transpose(1, 2).flatten(0, 1))


def _get_padding(conv: nn.Conv2d) -> tuple[int, ...]:
    """Return the padding of a convolution as numbers; "same" pads as many on both sides for odd kernels."""
    if not isinstance(conv.padding, str):
        return conv.padding
    sides = [d * (k - 1) for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
    return (0, 0) if conv.padding == "valid" else tuple(side // 2 for side in sides)


def _thin_out(rows: Tensor) -> Tensor:
    return rows[:: max(1, len(rows) // _MAX_POSITIONS)]


def _search_clipped_scales(weight: Tensor, energy: Tensor) -> Tensor:
    """Return the scale of each output channel that minimizes the sum of squared weight errors times `energy`.

    Args:
        weight: Float, shape (out channels, ...).
        energy: E x^2 of the input of each weight, shape (n,).
    """
    rows, usual = weight.detach().flatten(1).double(), compute_channel_scales(weight)
    scales = torch.stack([(usual * share).float() for share in _CLIP_RATIOS])
    steps = scales.double()[:, :, None]
    errors = ((rows / steps).round().clamp(-WEIGHT_MAX, WEIGHT_MAX) * steps - rows).square() @ energy
    return scales.gather(0, errors.argmin(0)[None])[0]

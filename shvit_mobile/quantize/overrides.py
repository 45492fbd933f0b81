"""Corrections: what a calibration made of the deploy form's parameters, so that int8 serves them better.

They lie in one file beside the recipe, which has its SHA-256. Lowering takes the deploy form with its corrections, and
each target then writes the very integers that were chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.deploy.equalization_groups import scale_channels
from shvit_mobile.deploy.fold import DeployForm
from shvit_mobile.errors import BadRecipe
from shvit_mobile.families.shvit import SHViT
from shvit_mobile.quantize.affine import WEIGHT_SCALE
from shvit_mobile.quantize.layers import FIRST_LAYERS, PIXEL_MEAN_BUFFER, find_dense_convolutions, select_int8_layers

# What the tensors of a file are named: a kind, then a chain or a layer of the deploy form.
EXPONENTS, INTEGERS, SCALES, BIAS, MEAN = "exponents", "integers", "scales", "bias", "mean"
RECALIBRATE_HINT = "Calibrate anew: shvit-mobile calibrate DIR"


@dataclass(frozen=True, eq=False)
class ParameterOverrides:
    """What is changed of a deploy form.

    Attributes:
        exponents: of two, by chain, int8, shape (channels,): how much larger its channels are made. Exact in float.
        integers: of the weights of int8 layers, by layer, int8, shaped as the weight.
        scales: of those integers, by layer, float32, shape (out channels,).
        biases: of int8 layers, by layer, float32.
        mean: what int8 subtracts from pixels in place of the mean, float32, shape (3,); None where it stays the mean.
    """

    exponents: Mapping[str, Tensor] = field(default_factory=dict)
    integers: Mapping[str, Tensor] = field(default_factory=dict)
    scales: Mapping[str, Tensor] = field(default_factory=dict)
    biases: Mapping[str, Tensor] = field(default_factory=dict)
    mean: Tensor | None = None

    @property
    def file_bytes(self) -> bytes:
        """The file."""
        kinds = {EXPONENTS: self.exponents, INTEGERS: self.integers, SCALES: self.scales, BIAS: self.biases}
        tensors = {f"{kind}:{name}": t for kind, named in kinds.items() for name, t in named.items()}
        if self.mean is not None:
            tensors[f"{MEAN}:{PIXEL_MEAN_BUFFER}"] = self.mean
        return save({name: tensor.contiguous() for name, tensor in sorted(tensors.items())})

    @property
    def sha256(self) -> str:
        return sha256(self.file_bytes).hexdigest()

    @classmethod
    def read(cls, path: Path, expected: str) -> ParameterOverrides:
        """The corrections in a file that a recipe has as `expected`.

        Raises:
            BadRecipe: it is missing, or is another file.
        """
        try:
            data = path.read_bytes()
        except OSError:
            raise BadRecipe(
                f"The recipe's corrections are missing: there is no {path}.",
                why="The recipe was made together with changed weights, which lie in a file of its name beside it.",
                hint=f"Copy that file here. Or: {RECALIBRATE_HINT}",
            ) from None
        if sha256(data).hexdigest() != expected:
            raise BadRecipe(
                f"{path} is not the file that its recipe describes.",
                why="Its SHA-256 is another: it was changed or damaged, or belongs to another recipe.",
                hint=RECALIBRATE_HINT,
            )
        try:
            return cls.from_tensors(load(data))
        except (SafetensorError, ValueError) as reason:
            raise BadRecipe(f"{path} holds no corrections: {reason}.", hint=RECALIBRATE_HINT) from None

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> ParameterOverrides:
        named: dict[str, dict[str, Tensor]] = {kind: {} for kind in (EXPONENTS, INTEGERS, SCALES, BIAS, MEAN)}
        for key, tensor in tensors.items():
            kind, _, name = key.partition(":")
            if kind not in named:
                raise ValueError(f"it has {key}")
            named[kind][name] = tensor
        return cls(named[EXPONENTS], named[INTEGERS], named[SCALES], named[BIAS], named[MEAN].get(PIXEL_MEAN_BUFFER))


def load_overrides(recipe: Recipe) -> ParameterOverrides | None:
    """A recipe's corrections: those it was made with, or those in the file beside it; None where it needs none.

    Raises:
        BadRecipe: the file is missing or is another one.
    """
    if recipe.corrections is None:
        return None
    if isinstance(recipe.overrides_in_memory, ParameterOverrides):
        return recipe.overrides_in_memory
    if recipe.overrides_path is None:
        raise BadRecipe(
            "The recipe's corrections are not at hand.",
            why="This recipe was copied out of a manifest, without the file that lies beside it.",
            hint="Read it with Recipe.read, from where it was written.",
        )
    return ParameterOverrides.read(recipe.overrides_path, recipe.corrections)


def apply_equalization(deployed: DeployForm, recipe: Recipe) -> DeployForm:
    """The deploy form that answers as before, its channels as large as the recipe's ranges have them.

    Raises:
        BadRecipe: the recipe's corrections are not at hand, or do not fit the model.
    """
    corrections = load_overrides(recipe)
    if corrections is None or not corrections.exponents:
        return deployed
    return replace(deployed, module=apply_checked(scale_channels, deployed.module, corrections.exponents))


@torch.no_grad()
def apply_overrides(deployed: DeployForm, recipe: Recipe) -> DeployForm:
    """The deploy form as a recipe lowers it: of int8 layers, the weights are on the recipe's integers.

    Their modules carry `WEIGHT_SCALE`, so that nobody has to guess it from the weight. Layers that the recipe keeps in
    float have float weights. Without corrections it is `deployed` itself.

    Raises:
        BadRecipe: the recipe's corrections are not at hand, or do not fit the model.
    """
    corrections = load_overrides(recipe)
    if corrections is None:
        return deployed
    changed = apply_equalization(deployed, recipe)
    module = apply_checked(override_parameters, changed.module, corrections, select_int8_layers(deployed, recipe))
    return replace(deployed, module=module)


def override_parameters(module: SHViT, corrections: ParameterOverrides, layers: Iterable[str]) -> SHViT:
    """A copy of `module` with the weights and biases of `layers` as corrected.

    Raises:
        ValueError, KeyError, RuntimeError: corrections are of layers that the module has not, or has in other shapes.
    """
    changed, there = deepcopy(module), {name for name, _ in find_dense_convolutions(module)}
    strange = sorted({*corrections.integers, *corrections.biases} - there)
    if strange:
        raise ValueError(f"there is no dense convolution {strange[0]}")
    for name in layers:
        layer = changed.get_submodule(name)
        if not isinstance(layer, nn.Conv2d) or layer.bias is None:
            raise ValueError(f"{name} is no convolution with a bias")
        if name in corrections.integers:
            scales = corrections.scales[name].to(layer.weight)
            layer.weight.copy_(corrections.integers[name] * scales.reshape(-1, 1, 1, 1))
            layer.register_buffer(WEIGHT_SCALE, scales)
        if name in corrections.biases:
            layer.bias.copy_(corrections.biases[name])
        if name in FIRST_LAYERS and corrections.mean is not None:
            changed.get_buffer(PIXEL_MEAN_BUFFER).copy_(corrections.mean.reshape(1, -1, 1, 1))
    return changed


def apply_checked(change: Callable[..., SHViT], *arguments: Any) -> SHViT:
    """`change` of the arguments.

    Raises:
        BadRecipe: tensors are missing or have other shapes than the model's.
    """
    try:
        return change(*arguments)
    except (RuntimeError, KeyError, ValueError, AttributeError) as reason:
        raise BadRecipe(
            f"The recipe's corrections do not fit the model: {reason}.",
            why="Corrections belong to the checkpoint they were made for.",
            hint=RECALIBRATE_HINT,
        ) from None

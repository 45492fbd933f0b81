"""Parameter overrides: the parameters of the deploy form that a calibration changed, so that int8 loses less.

They are a file beside the recipe, which holds its SHA-256. Lowering applies them to the deploy form, and each target
then writes exactly the integers that the calibration chose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from shvit_mobile.contracts.artifact import MAX_ARTIFACT_BYTES, Artifact, get_recipe_path
from shvit_mobile.contracts.files import read_bytes
from shvit_mobile.contracts.outputs import check_overwrite, write_atomically
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.contracts.recipe import Recipe, get_overrides_path
from shvit_mobile.deploy.equalization_groups import scale_channels
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.layers import get_bias, get_layer
from shvit_mobile.errors import BadRecipe
from shvit_mobile.quantize.affine import WEIGHT_SCALE, dequantize_weight
from shvit_mobile.quantize.layers import find_dense_layers, select_int8_layers

# The prefixes of the tensors' names in a file; an equalization group or a layer of the deploy form follows.
EXPONENTS, INTEGERS, SCALES, BIAS, MEAN = "exponents", "integers", "scales", "bias", "mean"
_RECALIBRATE_HINT = "Calibrate again."


@dataclass(frozen=True, eq=False)
class ParameterOverrides:
    """The changed parameters of a deploy form.

    Attributes:
        exponents: By equalization group, int8, shape (channels,): its channels are scaled by 2**exponent.
        integers: By int8 layer, int8, shaped as the weight.
        scales: By int8 layer, float32, shape (out channels,): the scales of `integers`.
        biases: By int8 layer, float32, shape (out channels,).
        means: By buffer, what is subtracted from pixels in place of the mean, float32, shape (3,).
    """

    exponents: Mapping[str, Tensor] = field(default_factory=dict)
    integers: Mapping[str, Tensor] = field(default_factory=dict)
    scales: Mapping[str, Tensor] = field(default_factory=dict)
    biases: Mapping[str, Tensor] = field(default_factory=dict)
    means: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def mean(self) -> Tensor | None:
        """What is subtracted from pixels in place of the mean, float32, shape (3,); None if the mean stays."""
        return next(iter(self.means.values()), None)

    @property
    def file_bytes(self) -> bytes:
        """The overrides as a safetensors file."""
        kinds = {
            EXPONENTS: self.exponents,
            INTEGERS: self.integers,
            SCALES: self.scales,
            BIAS: self.biases,
            MEAN: self.means,
        }
        tensors = {f"{kind}:{name}": t for kind, named in kinds.items() for name, t in named.items()}
        return save({name: tensor.contiguous() for name, tensor in sorted(tensors.items())})

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of `file_bytes`."""
        return sha256(self.file_bytes).hexdigest()

    @classmethod
    def read(cls, path: Path, expected: str) -> ParameterOverrides:
        """Load the overrides whose file has the SHA-256 `expected`.

        Raises:
            BadRecipe: If the file is missing, or is another one.
        """
        if not path.exists():
            raise BadRecipe(
                f"The recipe's parameter overrides are missing: there is no {path}.",
                why="The recipe was calibrated together with changed weights, which are in a file beside it.",
                hint=f"Copy that file here. Or: {_RECALIBRATE_HINT}",
            )
        data = read_bytes(path, limit=MAX_ARTIFACT_BYTES, error=BadRecipe, what="a file of parameter overrides")
        if sha256(data).hexdigest() != expected:
            raise BadRecipe(
                f"{path} is not the file that its recipe describes.",
                why="Its SHA-256 differs: it was changed or damaged, or belongs to another recipe.",
                hint=_RECALIBRATE_HINT,
            )
        try:
            return cls.from_tensors(load(data))
        except (SafetensorError, ValueError) as reason:
            raise BadRecipe(f"{path} holds no parameter overrides: {reason}.", hint=_RECALIBRATE_HINT) from None

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> ParameterOverrides:
        """Build overrides from the tensors of a file, or raise `ValueError` at an unknown name."""
        named: dict[str, dict[str, Tensor]] = {kind: {} for kind in (EXPONENTS, INTEGERS, SCALES, BIAS, MEAN)}
        for key, tensor in tensors.items():
            kind, _, name = key.partition(":")
            if kind not in named:
                raise ValueError(f"it has {key}")
            named[kind][name] = tensor
        return cls(named[EXPONENTS], named[INTEGERS], named[SCALES], named[BIAS], named[MEAN])


# A recipe and its overrides, which is None if it has none.
CalibratedRecipe = tuple[Recipe, ParameterOverrides | None]


def load_recipe(path: AnyPath) -> CalibratedRecipe:
    """Load a recipe and the overrides beside it.

    Returns:
        The recipe; and its overrides, or None if it has none.

    Raises:
        BadRecipe: If the recipe cannot be read, or the overrides are missing or not the recipe's.
    """
    recipe = Recipe.load(path)
    return recipe, load_overrides(path, recipe)


def load_overrides(path: AnyPath, recipe: Recipe) -> ParameterOverrides | None:
    """Load the overrides of a recipe, which was written to `path`.

    Raises:
        BadRecipe: If the recipe has overrides, and the file is missing or another one.
    """
    if recipe.corrections is None:
        return None
    return ParameterOverrides.read(get_overrides_path(Path(path)), recipe.corrections)


def load_artifact_overrides(artifact: Artifact) -> ParameterOverrides | None:
    """Load the overrides beside an artifact; errors as for `load_overrides`."""
    return load_overrides(get_recipe_path(artifact.path), artifact.manifest.recipe)


def save_recipe(
    path: AnyPath,
    recipe: Recipe,
    overrides: ParameterOverrides | None = None,
    *more: tuple[AnyPath, str],
    overwrite: bool = False,
) -> None:
    """Write a recipe, its overrides beside it, and further texts into the same folder: all of them or none.

    Args:
        path: The file of the recipe.
        recipe: The recipe.
        overrides: Its overrides, if it has any. If not, overrides of an earlier recipe at `path` are removed.
        more: Further files of the same folder, each with its text.
        overwrite: Replace existing files.

    Raises:
        OutputExists: If a file exists and `overwrite` is not set.
        BadRecipe: If recipe and overrides do not belong together.
    """
    check_overrides(recipe, overrides)
    path = Path(path)
    overrides_path = get_overrides_path(path)
    contents = {Path(other): text.encode() for other, text in more}
    if overrides is not None:
        contents[overrides_path] = overrides.file_bytes
    contents[path] = recipe.to_json().encode()  # the last one is published last
    check_overwrite(overrides_path, overwrite=overwrite)
    with write_atomically(*contents, obsolete={overrides_path} - contents.keys(), overwrite=overwrite) as parts:
        for part, content in zip(parts, contents.values(), strict=True):
            part.write_bytes(content)


def check_overrides(recipe: Recipe, overrides: ParameterOverrides | None) -> None:
    """Check that a recipe and overrides belong together.

    Raises:
        BadRecipe: If the recipe has overrides that are not given, or other ones are given.
    """
    if recipe.corrections == (overrides and overrides.sha256):
        return
    if overrides is None:
        raise BadRecipe(
            "The recipe has parameter overrides, and `overrides` is None.",
            why="It was calibrated together with changed weights, which are in a file beside it.",
            hint="Load both with `load_recipe`.",
        )
    raise BadRecipe(
        "The parameter overrides are not the recipe's.",
        why="Their SHA-256 is not the one in the recipe.",
        hint="Load both with `load_recipe`.",
    )


def apply_equalization(deployed: DeployForm, recipe: Recipe, overrides: ParameterOverrides | None = None) -> DeployForm:
    """Return the deploy form with its channels scaled as the recipe's ranges expect; its logits stay the same.

    Raises:
        BadRecipe: If the overrides are not the recipe's, or do not fit the model.
    """
    check_overrides(recipe, overrides)
    if overrides is None or not overrides.exponents:
        return deployed
    scaled = _apply_checked(scale_channels, deployed.module, deployed.wiring.groups, overrides.exponents)
    return deployed.replace_module(scaled)


@torch.no_grad()
def apply_overrides(deployed: DeployForm, recipe: Recipe, overrides: ParameterOverrides | None = None) -> DeployForm:
    """Return the deploy form as it is lowered: the weights of int8 layers lie on the integers of the overrides.

    The modules of these layers carry their scales as the buffer `WEIGHT_SCALE`. Layers that the recipe keeps in float
    keep float weights. Without overrides the result is `deployed` itself.

    Raises:
        BadRecipe: If the overrides are not the recipe's, or do not fit the model.
    """
    check_overrides(recipe, overrides)
    if overrides is None:
        return deployed
    scaled, layers = apply_equalization(deployed, recipe, overrides), select_int8_layers(deployed, recipe)
    return deployed.replace_module(_apply_checked(override_parameters, scaled, overrides, layers))


def override_parameters(deployed: DeployForm, overrides: ParameterOverrides, layers: Iterable[str]) -> nn.Module:
    """Return a copy of the module with the weights and biases of `layers` overridden.

    The mean is overridden if the layers that take the image are among them.

    Raises:
        ValueError, KeyError, RuntimeError: If the module lacks a layer, or has it in another shape.
    """
    changed, names = deepcopy(deployed.module), {name for name, _ in find_dense_layers(deployed.module)}
    unknown = sorted({*overrides.integers, *overrides.biases} - names)
    if unknown:
        raise ValueError(f"there is no dense layer {unknown[0]}")
    for name in layers:
        layer = get_layer(changed, name)
        if name in overrides.integers:
            scales = overrides.scales[name].to(layer.weight)
            layer.weight.copy_(dequantize_weight(overrides.integers[name], scales))
            layer.register_buffer(WEIGHT_SCALE, scales)
        if name in overrides.biases:
            get_bias(layer).copy_(overrides.biases[name])
        if name in deployed.first_layers:
            for buffer, mean in overrides.means.items():
                changed.get_buffer(buffer).copy_(mean.reshape(1, -1, 1, 1))
    return changed


def _apply_checked(change: Callable[..., nn.Module], *arguments: Any) -> nn.Module:
    """Call `change` and turn its errors into `BadRecipe`: missing tensors, or tensors of other shapes."""
    try:
        return change(*arguments)
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as reason:
        raise BadRecipe(
            f"The recipe's parameter overrides do not fit the model: {reason}.",
            why="Overrides belong to the checkpoint they were calibrated for.",
            hint=_RECALIBRATE_HINT,
        ) from None

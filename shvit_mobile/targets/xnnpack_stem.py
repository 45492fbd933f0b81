"""The first convolution of an int8 program for XNNPACK, on pairs of pixels that are moved as integers.

XNNPACK needs channels last. It moves three colors one value at a time, in float, and its int8 kernels take inputs four
or eight at a time and so multiply by zeros beside three colors. Two neighbors in a row, in all colors and in the three
rows of a window, are a position of eighteen channels instead: a window has two positions instead of nine. Rows are
copied as they lie in memory, and pairs are moved with two bytes at a time, in nine planes.
"""

from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shvit_mobile.contracts.recipe import ActivationRange, Recipe
from shvit_mobile.deploy.form import DeployForm, find_mean_subtraction
from shvit_mobile.deploy.layers import get_bias
from shvit_mobile.deploy.verification import compute_relative_error, convert_dtype, copy_to_float64, verify_error
from shvit_mobile.deploy.xnnpack_form import ChannelsLast
from shvit_mobile.quantize import affine
from shvit_mobile.quantize.layers import select_int8_ranges


class PixelPairConv(nn.Conv2d):
    """A 3x3 convolution at stride 2, padded by 1, of an image with an even width; channels last inside.

    Input: shape (1, channels, height, width). A position (y, x) has pixels `2 * x` and `2 * x + 1` of rows `2 * y - 1`,
    `2 * y` and `2 * y + 1`: its channel `2 * (row * channels + c) + i` is channel c of pixel `2 * x + i`.

    Attributes:
        border: The value around the image.
    """

    border: float

    def __init__(self, conv: nn.Conv2d) -> None:
        out, channels = conv.weight.shape[:2]
        super().__init__(6 * channels, out, (1, 2))
        self.to(conv.weight)
        # Of the pair before, a window has the second pixel.
        weight = conv.weight.new_zeros(out, 3, channels, 2, 1, 2)
        rows = conv.weight.transpose(1, 2)
        weight[:, :, :, 1, 0, 0] = rows[..., 0]
        weight[:, :, :, 0, 0, 1], weight[:, :, :, 1, 0, 1] = rows[..., 1], rows[..., 2]
        self.weight = nn.Parameter(weight.reshape(self.weight.shape))
        self.bias = nn.Parameter(get_bias(conv).clone())
        for name, buffer in conv.named_buffers():
            self.register_buffer(name, buffer)
        self.border = 0.0

    def forward(self, image: Tensor) -> Tensor:
        _, channels, height, width = image.shape
        rows = -(-height // 2)
        # A window at the left begins with the second pixel of a pair of the border. `simplify_graph` leaves a pad with
        # zeros to the convolution. Any other copies all values, so the row at the top is joined to them instead.
        left = 2 if self.border else 0
        planes = image.reshape(channels, height, width)
        if left or height % 2:
            planes = F.pad(planes, (left, 0, 0, height % 2), value=self.border)
        split = planes.reshape(channels, rows, 2, width + left)
        even, odd = split[:, :, :1], split[:, :, 1:]
        top = F.pad(split[:, :1, :1], (0, 0, 0, 0, 1, 0), value=self.border)[:, :1]
        windows = torch.cat([torch.cat([top, odd[:, :-1]], 1), even, odd])
        pairs = (width + left) // 2
        positions = windows.reshape(3 * channels, rows, pairs, 2).permute(1, 2, 0, 3)
        positions = positions.reshape(1, rows, pairs, 6 * channels)
        if not left:
            positions = F.pad(positions, (0, 0, 1, 0))
        return super().forward(positions.permute(0, 3, 1, 2))


@torch.no_grad()
def convert_stem_to_pixel_pairs(model: nn.Module, deployed: DeployForm, recipe: Recipe) -> tuple[nn.Module, Recipe]:
    """Return a copy of a form that convolves pairs of pixels, and its recipe; the same ones where that is not possible.

    It is possible if its first convolution is int8 and 3x3 at stride 2, padded by 1, and the width is even. If the form
    subtracts the same number from all colors, and it is a whole number of int8 steps, it moves to the border and the
    bias, and pixels are rounded as they are.

    Raises:
        VerificationFailed: If the pairs change the result by more than 1e-9 relative, in float64.
    """
    entry = model.get_submodule(deployed.entry)
    moving = [name for name, layer in entry.named_children() if isinstance(layer, ChannelsLast)]
    ranges = select_int8_ranges(deployed, recipe)
    if not moving or len(deployed.first_layers) != 1 or deployed.first_layers[0] not in ranges:
        return model, recipe
    (first,) = deployed.first_layers
    height, width = deployed.trained.preprocessing.size
    if width % 2 or not _is_convertible(model.get_submodule(first)):
        return model, recipe
    original = copy_to_float64(model.get_submodule(first))
    pairs = PixelPairConv(cast(nn.Conv2d, original))
    image = torch.rand(1, 3, 8 + height % 2, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    verify_error("the stem on pairs of pixels", compute_relative_error(original(image), pairs(image)))
    rewritten = deepcopy(model)
    for name in moving:
        delattr(rewritten.get_submodule(deployed.entry), name)
    rewritten.set_submodule(first, pairs)
    recipe = _move_mean_to_border(rewritten, deployed, first, pairs, recipe)
    convert_dtype(pairs, next(model.parameters()))
    return rewritten, recipe


def _is_convertible(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and (
        (layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.groups, layer.padding_mode)
        == ((3, 3), (2, 2), (1, 1), (1, 1), 1, "zeros")
    )


def _move_mean_to_border(
    model: nn.Module, deployed: DeployForm, first: str, conv: PixelPairConv, recipe: Recipe
) -> Recipe:
    """Remove in place the subtraction of one number of whole int8 steps; return the recipe of what is left."""
    found = find_mean_subtraction(model, deployed.entry)
    if found is None or found[1].scale is not None or len(set(found[1].mean.flatten().tolist())) != 1:
        return recipe
    (name, subtraction), seen = found, recipe.ranges[first]
    number = float(subtraction.mean.flatten()[0])
    moved = ActivationRange.model_validate(
        seen.model_dump() | {"input": (seen.input[0] + number, seen.input[1] + number)}
    )
    before, after = (affine.choose_affine_parameters(*one.input, recipe.activations) for one in (seen, moved))
    if before.scale != after.scale or (before.zero_point - after.zero_point) * after.scale != number:
        return recipe
    delattr(model.get_submodule(deployed.entry), name.rpartition(".")[2])
    # What int8 multiplies by are the rounded weights.
    weight = affine.dequantize_weight(*affine.quantize_weight(conv.weight, affine.get_weight_scales(conv)))
    conv.bias = nn.Parameter(get_bias(conv) - number * weight.to(conv.weight).sum((1, 2, 3)))
    conv.border = number
    return recipe.model_copy(update={"ranges": {**recipe.ranges, first: moved}})

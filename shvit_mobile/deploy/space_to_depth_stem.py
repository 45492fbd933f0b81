"""A stem that takes images in blocks: the first convolution at stride 2 becomes one at stride 1 on twelve channels."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from shvit_mobile.contracts.input_layout import BLOCK_SIZE, apply_space_to_depth
from shvit_mobile.deploy.form import DeployForm, MeanSubtraction
from shvit_mobile.deploy.verification import compute_relative_error, copy_to_float64, generate_pixels, verify_error
from shvit_mobile.errors import InvalidConfig
from shvit_mobile.families.shvit import SHViT

# The stem's first convolution: 3x3 at stride 2, padded by one.
KERNEL, STRIDE, PADDING = (3, 3), (2, 2), (1, 1)


@torch.no_grad()
def convert_stem_to_space_to_depth(model: SHViT, deployed: DeployForm) -> SHViT:
    """A copy of `model` that takes what `shvit_mobile.contracts.input_layout.apply_space_to_depth` gives.

    Where the mean is subtracted in the graph, it goes into the first convolution's bias: the border is the mean, so
    nothing is padded with zeros any more.

    Args:
        model: `deployed.module`, or another form of it with the same stem; float32.
        deployed: where it came from.

    Raises:
        ProofFailed: the result differs by more than 1e-9 relative, in float64.
        InvalidConfig: the first convolution is not 3x3 at stride 2.
    """
    original, rewritten = copy_to_float64(model), copy_to_float64(model)
    layers = dict(rewritten.patch_embed.named_children())
    first, centre = layers["0"], layers.pop("centre", None)
    if not isinstance(first, nn.Conv2d) or (first.kernel_size, first.stride, first.padding) != (
        KERNEL,
        STRIDE,
        PADDING,
    ):
        raise InvalidConfig(
            "The stem cannot take blocks.", why="Only a 3x3 convolution at stride 2 can be written as one on blocks."
        )
    layers["0"] = convert_conv_to_blocks(first, centre.mean if isinstance(centre, MeanSubtraction) else None)
    rewritten.patch_embed = nn.Sequential(OrderedDict(layers))

    values = generate_pixels(deployed.trained)[:1]
    if deployed.input_domain == "normalised":
        values = values / 255
    stacked = apply_space_to_depth(values.numpy(), compute_border_values(model))
    verify_error(
        "the stem on blocks",
        compute_relative_error(original.patch_embed(values), rewritten.patch_embed(torch.from_numpy(stacked))),
    )
    return rewritten.to(next(model.parameters()))


def convert_conv_to_blocks(conv: nn.Conv2d, mean: Tensor | None) -> nn.Conv2d:
    """The convolution equal to a 3x3 one at stride 2, on 2x2 blocks with a border of one block above and on the left.

    Args:
        conv: weight of shape (out, colours, 3, 3).
        mean: what was subtracted from each colour before, shape (1, colours, 1, 1).

    Returns:
        A 2x2 convolution without padding on 4 * colours channels.
    """
    out, colours = conv.weight.shape[:2]
    # The window of output i begins one row above block i of the image, which is block i + 1 of the bordered one: its
    # first row is the second of block i, its other two are block i + 1.
    weight = conv.weight.new_zeros(out, BLOCK_SIZE, BLOCK_SIZE, colours, 2, 2)
    for row in range(3):
        for column in range(3):
            block, place = (
                ((row + 1) // BLOCK_SIZE, (column + 1) // BLOCK_SIZE),
                ((row + 1) % BLOCK_SIZE, (column + 1) % BLOCK_SIZE),
            )
            weight[:, place[0], place[1], :, block[0], block[1]] = conv.weight[:, :, row, column]
    equal = nn.Conv2d(BLOCK_SIZE * BLOCK_SIZE * colours, out, BLOCK_SIZE).to(conv.weight)
    equal.weight.copy_(weight.reshape(equal.weight.shape))
    if conv.bias is None:
        raise TypeError("every convolution of the deploy form has a bias")
    for name, buffer in conv.named_buffers():
        equal.register_buffer(name, buffer)
    equal.bias = nn.Parameter(conv.bias - (0 if mean is None else conv.weight.sum((2, 3)) @ mean.flatten()))
    return equal


def compute_border_values(model: SHViT) -> tuple[float, float, float]:
    """Return the padding of a form's input, a value for each color: the mean that the form subtracts, or zeros.

    The mean is read from the form, since a recipe's overrides may replace the mean of the checkpoint.
    """
    centre = dict(model.patch_embed.named_children()).get("centre")
    if not isinstance(centre, MeanSubtraction):
        return (0.0, 0.0, 0.0)
    red, green, blue = centre.mean.flatten().tolist()
    return (red, green, blue)

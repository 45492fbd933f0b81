"""The space-to-depth stem: the first convolution at stride 2 becomes one at stride 1 on blocks of twelve channels."""

import torch
from torch import Tensor, nn

from shvit_mobile.contracts.input_layout import BLOCK_SIZE, apply_space_to_depth
from shvit_mobile.deploy.form import DeployForm, find_mean_subtraction
from shvit_mobile.deploy.layers import get_bias
from shvit_mobile.deploy.verification import (
    compute_relative_error,
    convert_dtype,
    copy_to_float64,
    generate_pixels,
    verify_error,
)
from shvit_mobile.errors import NotSupported

# The stem's first convolution: 3x3 at stride 2, padded by one.
KERNEL, STRIDE, PADDING = (3, 3), (2, 2), (1, 1)


@torch.no_grad()
def convert_stem_to_space_to_depth(model: nn.Module, deployed: DeployForm) -> nn.Module:
    """Return a copy of `model` that takes the output of `shvit_mobile.contracts.input_layout.apply_space_to_depth`.

    If the graph subtracts the mean, it moves into the first convolution's bias: the input is padded with the mean, and
    no longer with zeros after the subtraction.

    Args:
        model: `deployed.module`, or another form of it with the same stem; float32.
        deployed: The deploy form.

    Raises:
        VerificationFailed: If the result differs by more than 1e-9 relative, in float64.
        NotSupported: If the first layer is not a 3x3 convolution at stride 2, padded by 1, that alone takes the image.
    """
    original, rewritten = copy_to_float64(model), copy_to_float64(model)
    first = rewritten.get_submodule(deployed.first_layers[0]) if len(deployed.first_layers) == 1 else None
    if not isinstance(first, nn.Conv2d) or (first.kernel_size, first.stride, first.padding) != (
        KERNEL,
        STRIDE,
        PADDING,
    ):
        raise NotSupported(
            "The model's stem cannot be converted to space-to-depth.", why="Only a 3x3 convolution at stride 2 can be."
        )
    mean = None
    if found := find_mean_subtraction(rewritten, deployed.entry):
        name, centre = found
        delattr(rewritten.get_submodule(deployed.entry), name.rpartition(".")[2])
        mean = centre.mean
    blocks = _convert_conv_to_blocks(first, mean)
    rewritten.set_submodule(deployed.first_layers[0], blocks)

    values = generate_pixels(deployed.trained)[:1]
    if deployed.input_domain == "normalised":
        values = values / 255
    stacked = torch.from_numpy(apply_space_to_depth(values.numpy(), compute_border_values(model, deployed.entry)))
    verify_error("the space-to-depth stem", compute_relative_error(original(values), rewritten(stacked)))
    return convert_dtype(rewritten, next(model.parameters()))


def _convert_conv_to_blocks(conv: nn.Conv2d, mean: Tensor | None) -> nn.Conv2d:
    """Convert a 3x3 convolution at stride 2 to one on 2x2 blocks, with a border of one block above and on the left.

    Args:
        conv: The convolution, weight of shape (out, colors, 3, 3).
        mean: The mean that was subtracted before, shape (1, colors, 1, 1).

    Returns:
        A 2x2 convolution without padding on 4 * colors channels.
    """
    out, colors = conv.weight.shape[:2]
    # The window of output i begins one row above block i of the image, which is block i + 1 of the bordered one: its
    # first row is the second of block i, its other two are block i + 1.
    weight = conv.weight.new_zeros(out, BLOCK_SIZE, BLOCK_SIZE, colors, 2, 2)
    for row in range(3):
        for column in range(3):
            block, place = (
                ((row + 1) // BLOCK_SIZE, (column + 1) // BLOCK_SIZE),
                ((row + 1) % BLOCK_SIZE, (column + 1) % BLOCK_SIZE),
            )
            weight[:, place[0], place[1], :, block[0], block[1]] = conv.weight[:, :, row, column]
    equal = nn.Conv2d(BLOCK_SIZE * BLOCK_SIZE * colors, out, BLOCK_SIZE).to(conv.weight)
    equal.weight.copy_(weight.reshape(equal.weight.shape))
    for name, buffer in conv.named_buffers():
        equal.register_buffer(name, buffer)
    equal.bias = nn.Parameter(get_bias(conv) - (0 if mean is None else conv.weight.sum((2, 3)) @ mean.flatten()))
    return equal


def compute_border_values(model: nn.Module, entry: str) -> tuple[float, float, float]:
    """Return the padding of a form's input, a value for each color: the mean that the form subtracts, or zeros.

    The mean is read from the form, since a recipe's overrides may replace the mean of the checkpoint.

    Args:
        model: The form.
        entry: The path of its first layers, as `DeployForm.entry`.
    """
    found = find_mean_subtraction(model, entry)
    if found is None:
        return (0.0, 0.0, 0.0)
    red, green, blue = found[1].mean.flatten().tolist()
    return (red, green, blue)

"""The form for half precision: pixels minus the mean without a rounding error.

fp16 rounds a mean such as 123.675, and every difference from it: the same error at each position, which the stem does
not average out. It costs the logits as much as the rounding of all activations together. A pixel is an integer, and
its difference from a multiple of 1/8 is exact in fp16's eleven bits.
"""

from copy import deepcopy

import torch
from torch import nn

from shvit_mobile.deploy.form import MeanSubtraction
from shvit_mobile.families.shvit import SHViT

# Differences of pixels are below 256, which leaves three of eleven bits for the fraction.
MEAN_STEP = 1 / 8


@torch.no_grad()
def rewrite_for_fp16(module: SHViT) -> SHViT:
    """Return a copy that subtracts a mean rounded to 1/8, with the rest of the mean in the first convolution's bias.

    Only values at the image's border change: where the convolution pads, the bias is off by at most a sixteenth of a
    gray level, times the weights that see the padding.

    Args:
        module: The module of a deploy form. One that takes normalized values is only copied.
    """
    form = deepcopy(module)
    layers = dict(form.patch_embed.named_children())
    centre, first = layers.get("centre"), layers["0"]
    if isinstance(centre, MeanSubtraction) and isinstance(first, nn.Conv2d) and first.bias is not None:
        rounded = (centre.mean / MEAN_STEP).round() * MEAN_STEP
        first.bias -= first.weight.sum((2, 3)) @ (centre.mean - rounded).flatten()
        centre.mean.copy_(rounded)
    return form

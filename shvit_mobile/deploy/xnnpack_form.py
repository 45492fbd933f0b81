"""The form for XNNPACK: a family's own modules in XNNPACK's operators, and images with channels last.

XNNPACK's convolutions need channels last, and images are channels first: permuted in float they cost half of what they
cost in int8, whose kernel is made for more channels than three.
"""

import torch
from torch import Tensor, nn

from shvit_mobile.deploy.form import DeployForm, find_mean_subtraction
from shvit_mobile.deploy.layers import insert_layer, replace_modules
from shvit_mobile.deploy.verification import compute_relative_error, convert_dtype, copy_to_float64, verify_error


@torch.no_grad()
def rewrite_for_xnnpack(deployed: DeployForm) -> nn.Module:
    """Return the deploy form in XNNPACK's operators where its family has them; float32, on the CPU, for a batch of one.

    Layers keep their names, so a recipe fits both.

    Raises:
        VerificationFailed: If the result differs from the deploy form by more than 1e-9 relative, in float64.
    """
    original, rewritten = copy_to_float64(deployed.module), copy_to_float64(deployed.module)
    replace_modules(rewritten, deployed.trained.family.rewrites.get("xnnpack", {}), "XNNPACK", batch=1)
    # Behind the subtraction of the mean, if there is one.
    position = 0 if find_mean_subtraction(rewritten, deployed.entry) is None else 1
    insert_layer(rewritten.get_submodule(deployed.entry), position, "channels_last", ChannelsLast())
    shape = (1, 3, *deployed.trained.preprocessing.size)
    image = 255 * torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    verify_error("the form for XNNPACK", compute_relative_error(original(image), rewritten(image)))
    return convert_dtype(rewritten, torch.zeros(()))


class ChannelsLast(nn.Module):
    """A change of the memory format to channels last; shape and values stay. Float32."""

    def forward(self, x: Tensor) -> Tensor:
        return x.to(memory_format=torch.channels_last)

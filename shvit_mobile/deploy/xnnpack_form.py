"""The form for XNNPACK: its operators, and images with channels last.

A family may have modules in XNNPACK's operators. Of the others, the operators of the graph are rewritten.

XNNPACK's convolutions need channels last, and images are channels first: permuted in float they cost half of what they
cost in int8, whose kernel is made for more channels than three.
"""

import torch
from torch import Tensor, nn

from shvit_mobile.deploy.form import DeployForm, find_mean_subtraction
from shvit_mobile.deploy.layers import insert_layer, replace_modules
from shvit_mobile.deploy.rewriting import rewrite_operators
from shvit_mobile.deploy.verification import (
    choose_proof_size,
    compute_relative_error,
    convert_dtype,
    copy_to_float64,
    verify_error,
)
from shvit_mobile.deploy.xnnpack_operators import XNNPACK_OPERATORS
from shvit_mobile.families.family import Family


@torch.no_grad()
def rewrite_modules(deployed: DeployForm) -> nn.Module:
    """Return the deploy form with its family's modules for XNNPACK; float32, on the CPU, for a batch of one.

    Layers keep their names, so a recipe fits both. Without such modules it is a copy, for `rewrite_graph`.

    Raises:
        VerificationFailed: If the result differs from the deploy form by more than 1e-9 relative, in float64.
    """
    original, rewritten = copy_to_float64(deployed.module), copy_to_float64(deployed.module)
    rewrites = deployed.trained.family.rewrites.get("xnnpack", {})
    if rewrites:
        replace_modules(rewritten, rewrites, "XNNPACK", batch=1)
        # Behind the subtraction of the mean, if there is one.
        position = 0 if find_mean_subtraction(rewritten, deployed.entry) is None else 1
        insert_layer(rewritten.get_submodule(deployed.entry), position, "channels_last", ChannelsLast())
        image = _draw_image((1, 3, *choose_proof_size(deployed.trained))).double()
        verify_error("the form for XNNPACK", compute_relative_error(original(image), rewritten(image)))
    return convert_dtype(rewritten, torch.zeros(()))


def rewrite_graph(module: nn.Module, family: Family, shape: tuple[int, ...]) -> nn.Module:
    """Return the module of a graph in XNNPACK's operators; a module whose family has its own stays as it is.

    Layers keep their names.

    Args:
        module: What `rewrite_modules` returned, perhaps with another stem or head.
        family: The model's family.
        shape: The shape of the module's input.

    Raises:
        VerificationFailed: If the result differs by more than 1e-9 relative, in float64.
        NotSupported: If torch.export does not accept the module.
    """
    if family.rewrites.get("xnnpack"):
        return module
    return rewrite_operators(module, _draw_image(shape), XNNPACK_OPERATORS, "XNNPACK")


def _draw_image(shape: tuple[int, ...]) -> Tensor:
    return 255 * torch.rand(shape, generator=torch.Generator().manual_seed(0))


class ChannelsLast(nn.Module):
    """A change of the memory format to channels last; shape and values stay. Float32."""

    def forward(self, x: Tensor) -> Tensor:
        return x.to(memory_format=torch.channels_last)

"""The form for half precision: pixels minus the mean without a rounding error, and casts at both ends of a graph.

fp16 rounds a mean such as 123.675, and every difference from it: the same error at each position, which the stem does
not average out. It costs the logits as much as the rounding of all activations together. A pixel is an integer, and
its difference from a multiple of 1/8 is exact in fp16's eleven bits.
"""

from copy import deepcopy

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate

from shvit_mobile.deploy.exporting import get_operator_name
from shvit_mobile.deploy.form import DeployForm, find_mean_subtraction
from shvit_mobile.deploy.layers import get_bias, get_layer
from shvit_mobile.errors import VerificationFailed

# Differences of pixels are below 256, which leaves three of eleven bits for the fraction.
MEAN_STEP = 1 / 8
# What XNNPACK computes in float32 between two casts. ExecuTorch's partitioner takes no GELU of fp16. XNNPACK's own errs
# by up to 0.003 where results are near 0, and takes 95 times as long on x86.
_FLOAT32_OPERATORS = ("gelu",)


@torch.no_grad()
def rewrite_for_fp16(module: nn.Module, deployed: DeployForm) -> nn.Module:
    """Return a copy that subtracts a mean rounded to 1/8, with the rest of the mean in the first layers' biases.

    Only values at the image's border change: where a convolution pads, the bias is off by at most a sixteenth of a gray
    level, times the weights that see the padding.

    Args:
        module: The module of the deploy form, or another form of it. One that takes normalized values, or whose first
            layers are no convolutions, is only copied.
        deployed: The deploy form.
    """
    form = deepcopy(module)
    found = find_mean_subtraction(form, deployed.entry)
    if found is None or not deployed.first_layers:
        return form
    _, centre = found
    rounded = (centre.mean / MEAN_STEP).round() * MEAN_STEP
    for name in deployed.first_layers:
        first = get_layer(form, name)
        get_bias(first).sub_(first.weight.sum((2, 3)) @ (centre.mean - rounded).flatten())
    centre.mean.copy_(rounded)
    return form


@torch.library.custom_op("shvit_mobile::cast", mutates_args=())
def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert a tensor to another dtype, in a copy: an operator of its own, which a backend can be taught."""
    return x.to(dtype, copy=True)


@cast.register_fake
def _(x: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.empty_like(x, dtype=dtype)


def check_fp16_constants(module: nn.Module, parameter: str) -> None:
    """Raise `VerificationFailed`, which names a parameter to set to fp32, if fp16 cannot represent a constant."""
    for name, values in module.state_dict().items():
        if values.is_floating_point() and not torch.equal(values.isfinite(), values.half().isfinite()):
            raise VerificationFailed(
                f"{name} reaches {float(values[values.isfinite()].abs().max()):.3g}, which is infinite in fp16.",
                why=f"The largest number of fp16 is {torch.finfo(torch.float16).max:g}.",
                hint=f"Set `{parameter}=fp32`.",
                parameter=parameter,
            )


class HalfPrecision(nn.Module):
    """A module that computes in fp16 between a float32 input and float32 outputs, one or several.

    Args:
        module: A module in float32, which is converted in place.

    Raises:
        VerificationFailed: If fp16 cannot represent one of its constants.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        check_fp16_constants(module, "precision")
        for part in module.modules():
            if isinstance(part, fx.GraphModule):
                _replace_dtype(part)
                _cast_operands(part)
                part.recompile()
        self.module = module.half()

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Compute float32 outputs of float32 `images`; what torch computes in fp16 differs slightly from a phone."""
        outputs = self.module(cast(images, torch.float16))
        if isinstance(outputs, Tensor):
            return cast(outputs, torch.float32)
        return tuple(cast(one, torch.float32) for one in outputs)


def _replace_dtype(module: fx.GraphModule) -> None:
    """Replace float32 by fp16 in the arguments of a graph's operators: an exported graph names dtypes."""
    for node in module.graph.nodes:
        node.args, node.kwargs = (
            map_aggregate(values, lambda value: torch.float16 if value is torch.float32 else value)
            for values in (node.args, node.kwargs)
        )


def _cast_operands(module: fx.GraphModule) -> None:
    """Put casts around the operators of a graph in fp16 that are to be in float32; each takes one tensor."""
    convert, graph = torch.ops.shvit_mobile.cast.default, module.graph
    for node in [node for node in graph.nodes if get_operator_name(node) in _FLOAT32_OPERATORS]:
        with graph.inserting_before(node):
            node.replace_input_with(node.args[0], graph.call_function(convert, (node.args[0], torch.float32)))
        with graph.inserting_after(node):
            result = graph.call_function(convert, (node, torch.float16))
        node.replace_all_uses_with(result, lambda user, result=result: user is not result)

"""The form for Core AI: that for Core ML, with a head whose sums lose nothing in half precision.

In fp16, Core AI's CPU kernels add the products of a linear layer in fp16, and those of a convolution in float32. On the
demo model this alone limits the logits to 49 dB.
"""

from typing import cast

import torch
from torch import Tensor, nn

from shvit_mobile.deploy.coreml_form import rewrite_for_coreml
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.fp16_form import rewrite_for_fp16
from shvit_mobile.deploy.layers import find_head
from shvit_mobile.deploy.verification import compute_relative_error, generate_layer_inputs, verify_error


class HalfPrecisionForm(nn.Module):
    """A form in fp16 with float32 input and output.

    Input: shape (1, 3, height, width). Output: logits, shape (1, classes), or maps.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module.half()

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        outputs = self.module(images.half())
        return outputs.float() if isinstance(outputs, Tensor) else tuple(one.float() for one in outputs)


class ConvolutionHead(nn.Module):
    """A linear layer as a convolution over a single position.

    Input: shape (..., channels). Output: shape (..., classes).
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        has_bias = linear.bias is not None
        self.conv = nn.Conv2d(linear.in_features, linear.out_features, 1, bias=has_bias).to(linear.weight)
        self.conv.load_state_dict({**linear.state_dict(), "weight": linear.weight[..., None, None]})

    def forward(self, features: Tensor) -> Tensor:
        values = self.conv(features.reshape(-1, self.conv.in_channels, 1, 1))
        return values.reshape(*features.shape[:-1], self.conv.out_channels)


@torch.no_grad()
def rewrite_for_coreai_fp16(deployed: DeployForm) -> nn.Module:
    """Return the deploy form for Core AI in fp16, on the CPU.

    Raises:
        VerificationFailed: If a rewrite is not exact, in float64.
    """
    module = rewrite_for_fp16(rewrite_for_coreml(deployed), deployed)
    name = find_head(module, deployed.trained.classes)
    if name is not None:
        linear = cast(nn.Linear, module.get_submodule(name))
        exact = nn.Linear(linear.in_features, linear.out_features, linear.bias is not None, dtype=torch.float64)
        exact.load_state_dict(linear.state_dict())
        features = generate_layer_inputs(exact)
        verify_error("the head for Core AI", compute_relative_error(exact(features), ConvolutionHead(exact)(features)))
        module.set_submodule(name, ConvolutionHead(linear))
    return HalfPrecisionForm(module)

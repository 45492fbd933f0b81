"""Head equalization: the weights of the head's input channels get similar magnitudes, which suits int8.

The BatchNorm that is folded into the head gives nearly constant channels weights a hundred times larger than others,
and one scale per output then suits none of them. Part of each channel's magnitude moves from its weights to its input;
no product changes.
"""

import torch
from torch import Tensor, nn

from shvit_mobile.deploy.verification import compute_relative_error, generate_layer_inputs, verify_error

# How much of a channel's magnitude moves, as a power of its largest weight. At 1 the inputs would be as uneven as the
# weights were; between a half and 1 the head's own int8 error on the demo model stays within 1 dB of its least.
_BALANCE_POWER = 0.75


class EqualizedHead(nn.Module):
    """`linear(x * scale)`.

    Input: pooled features, shape (batch, channels). Output: logits, shape (batch, classes).
    """

    scale: Tensor

    def __init__(self, scale: Tensor, linear: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("scale", scale[None])
        self.linear = linear

    def forward(self, pooled: Tensor) -> Tensor:
        return self.linear(pooled * self.scale)


@torch.no_grad()
def equalize_head(head: nn.Linear) -> EqualizedHead:
    """Balance the magnitudes of the head's channels between weights and input (after SmoothQuant, Xiao et al., 2023).

    Raises:
        VerificationFailed: If the result differs by more than 1e-9 relative, in float64.
    """
    exact = nn.Linear(head.in_features, head.out_features, dtype=torch.float64).to(head.weight.device)
    exact.load_state_dict(head.state_dict())
    largest = exact.weight.abs().amax(0)
    # A channel without weights may have any scale.
    scale = torch.where(largest > 0, largest, 1.0) ** _BALANCE_POWER
    balanced = nn.Linear(head.in_features, head.out_features).to(exact.weight)
    balanced.weight.copy_(exact.weight / scale)
    balanced.bias.copy_(exact.bias)
    equal, x = EqualizedHead(scale, balanced), generate_layer_inputs(exact)
    verify_error("the equalized head", compute_relative_error(exact(x), equal(x)))
    return equal.to(head.weight)

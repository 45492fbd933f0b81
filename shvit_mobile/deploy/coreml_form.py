"""The form for Core ML: fewer operators around attention, and no transposes.

Core ML has no group norm; its conversion is a dozen operators with reshapes. A norm of one group is a layer norm over
channels and positions. Query, key and value are reshaped once, before they are split, and the softmax runs over the
keys along the first axis of their product with the queries.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.layers import replace_attention
from shvit_mobile.deploy.verification import compute_relative_error, copy_to_float64, generate_pixels, verify_error
from shvit_mobile.families.shvit import SHViT, SingleHeadAttention

AttentionLayout = Literal["matmul", "einsum"]
ATTENTION_LAYOUTS: tuple[AttentionLayout, ...] = get_args(AttentionLayout)


@torch.no_grad()
def rewrite_for_coreml(deployed: DeployForm, layout: AttentionLayout = "matmul") -> SHViT:
    """Return the deploy form with its attention in few Core ML operators; float32, on the CPU.

    Layers keep their names, so a recipe fits both.

    Args:
        deployed: The model.
        layout: How attention multiplies. "matmul" has the fewest operators. "einsum" keeps channels on the second axis
            of four, as convolutions do, and transposes the keys. Measure on a phone which is faster.

    Raises:
        VerificationFailed: If the result differs from the deploy form by more than 1e-9 relative, in float64.
    """
    original, rewritten = copy_to_float64(deployed.module), copy_to_float64(deployed.module)
    replace_attention(rewritten, partial(_CoreMLAttention, layout=layout), "Core ML")
    pixels = generate_pixels(deployed.trained)[:1]
    verify_error("the form for Core ML", compute_relative_error(original(pixels), rewritten(pixels)))
    return rewritten.float()


class _CoreMLAttention(nn.Module):
    """A folded `SingleHeadAttention` in Core ML's operators.

    Input and output: shape (batch, channels, height, width).
    """

    def __init__(self, attention: SingleHeadAttention, layout: AttentionLayout) -> None:
        super().__init__()
        self.parts = [attention.qk_dim, attention.qk_dim, attention.partial_dim]
        self.partial_dim, self.passing_dim = attention.partial_dim, attention.dim - attention.partial_dim
        self.attended = ATTENTION_BY_LAYOUT[layout]
        self.pre_norm = SingleGroupNorm(attention.pre_norm.eps)
        self.qkv, self.proj = attention.qkv, attention.proj

    def forward(self, x: Tensor) -> Tensor:
        attending, passing = torch.split(x, [self.partial_dim, self.passing_dim], dim=1)
        attended = self.attended(self.qkv(self.pre_norm(attending)), self.parts).reshape(attending.shape)
        return self.proj(torch.cat([attended, passing], dim=1))


def _attend_by_matmul(qkv: Tensor, parts: list[int]) -> Tensor:
    """Compute attention with matrix products, shape (batch, channels, queries).

    Args:
        qkv: Queries, keys and values, concatenated, shape (batch, sum(parts), height, width).
        parts: The channels of each.
    """
    query, key, value = torch.split(qkv.flatten(2), parts, dim=1)
    # The product transposes: no transpose is left in the program.
    weights = (key.transpose(1, 2) @ query).softmax(1)
    return value @ weights


def _attend_by_einsum(qkv: Tensor, parts: list[int]) -> Tensor:
    """Compute attention with the two products that Core ML has einsum for, shape (batch, channels, 1, queries).

    Args:
        qkv, parts: As for `_attend_by_matmul`.
    """
    batch, channels, height, width = qkv.shape
    query, key, value = torch.split(qkv.reshape(batch, channels, 1, height * width), parts, dim=1)
    weights = torch.einsum("bchq,bkhc->bkhq", query, key.transpose(1, 3)).softmax(1)
    return torch.einsum("bkhq,bchk->bchq", weights, value)


ATTENTION_BY_LAYOUT: dict[AttentionLayout, Callable[[Tensor, list[int]], Tensor]] = {
    "matmul": _attend_by_matmul,
    "einsum": _attend_by_einsum,
}


class SingleGroupNorm(nn.Module):
    """A group norm of one group without weight and bias, as a layer norm over channels, rows and columns."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[1:], eps=self.eps)

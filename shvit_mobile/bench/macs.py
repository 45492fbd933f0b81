"""How much arithmetic a model does."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_macs(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Multiply-adds of convolutions, linear layers and matrix products for one input of `shape`.

    Counted on PyTorch's meta device: nothing is computed. What is done element by element does not count.
    """
    counted = deepcopy(module).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        counted(torch.empty(shape, device="meta"))
    return int(counter.get_total_flops()) // 2

"""Counts the multiply-adds of a model."""

from copy import deepcopy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_macs(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Count the multiply-adds of convolutions, linear layers and matrix products for one input of `shape`.

    It runs on PyTorch's meta device, which computes nothing. Element-wise operations do not count.
    """
    counted = deepcopy(module).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        counted(torch.empty(shape, device="meta"))
    return int(counter.get_total_flops()) // 2

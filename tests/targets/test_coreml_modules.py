"""Any module converts to Core ML, with the operators that other families than SHViT have."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from shvit_mobile import ExportConfig, Preprocessing, export, wrap_module


class WholeSlice(nn.Module):
    """A slice that takes a whole axis, as of an upsampled map that may be one row too large (LowFormer)."""

    operator = "conv_transpose"

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(6, 6, 2, 2, groups=6)

    def forward(self, x: Tensor) -> Tensor:
        _, _, height, width = x.shape
        return x + self.up(x[..., ::2, ::2])[..., :height, :width]


class Classifier(nn.Module):
    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.stem, self.block, self.head = nn.Conv2d(3, 6, 3, 2, 1), block, nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(self.stem(x).relu()).mean((2, 3)))


@pytest.mark.parametrize("block", [WholeSlice])
def test_it_answers_as_in_torch(block: type[nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained = wrap_module(
        Classifier(block()).eval(), labels=["ant", "bee", "cat", "dog"], preprocessing=Preprocessing(size=(24, 32))
    )
    # Export runs the package, and fails if it does not compute what the module does.
    (artifact,) = export(
        ExportConfig(checkpoint=trained, targets=["coreml"], precisions=["fp32"], out=tmp_path)
    ).artifacts
    assert artifact.manifest.inventory.operators[block.operator] == 1

"""The output of each call of a layer is shown as the layer computed it, and that of each sum."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shvit_mobile.deploy.call_values import CallRecorder


class Block(nn.Module):
    """A layer with an activation in place, one that runs twice, a sum that another operator follows, and a buffer."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.act = nn.Conv2d(3, 4, 1), nn.Hardswish(inplace=True)
        self.twice, self.head = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 5)
        self.register_buffer("mean", torch.tensor(0.4), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x - self.mean))
        x = (x + self.twice(self.twice(x))).sigmoid()
        return self.head(x.mean((2, 3)) * torch.tensor([1.0, 2.0, 3.0, 4.0]))


def test_each_call_has_its_own_output() -> None:
    torch.manual_seed(0)
    module = Block().eval()
    recorder = CallRecorder(module, torch.zeros(2, 3, 5, 6))
    for seed in range(2):
        x = torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            stem = module.stem(x - 0.4)
            activated = nn.functional.hardswish(stem)
            first = module.twice(activated)
            second = module.twice(first)
            expected = {
                "stem": stem,
                "twice": first,
                "twice@2": second,
                "": activated + second,
                "head": module(x.clone()),
            }
        values = recorder.run(x)
        assert list(values) == list(expected)
        for name, value in expected.items():
            torch.testing.assert_close(values[name], value)

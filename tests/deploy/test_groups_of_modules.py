"""Every equalization group that is found keeps the function: scaled channels give the same output in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.deploy.equalization_groups import scale_channels
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.wiring import EqualizationGroup, Wiring
from shvit_mobile.families.timm_family import TIMM, create_timm_model, is_timm_model
from shvit_mobile.families.trained_model import TrainedModel
from tests.families.test_timm_family import randomize

Join = Callable[[Tensor, Tensor], Tensor]


def find_broken_groups(module: nn.Module, groups: tuple[EqualizationGroup, ...], inputs: Tensor) -> list[str]:
    """Return the names of groups that change the output of a float64 module when their channels are scaled."""
    generator = torch.Generator().manual_seed(3)
    sizes = {one.name: len(module.get_submodule(one.producer.layer).weight[one.producer.channels]) for one in groups}
    exponents = {name: torch.randint(-6, 7, (size,), generator=generator) for name, size in sizes.items()}
    with torch.no_grad():
        reference = module(inputs)

        def keeps_output(names: list[str]) -> bool:
            changed = scale_channels(module, groups, {name: exponents[name] for name in names})(inputs)
            return torch.allclose(changed, reference, rtol=1e-9, atol=1e-9 * float(reference.abs().max()))

        return [] if keeps_output([*exponents]) else [name for name in exponents if not keeps_output([name])]


def list_groups(module: nn.Module, *shape: int) -> tuple[EqualizationGroup, ...]:
    """Return the groups of a module after checking that each keeps its output."""
    torch.manual_seed(1)
    module = module.double().eval()
    groups = Wiring.from_module(module, shape).groups
    assert find_broken_groups(module, groups, torch.randn(shape, dtype=torch.float64)) == []
    return groups


class Joined(nn.Module):
    """Two convolutions whose outputs, 6 channels each, `join` computes with; a convolution of the result."""

    def __init__(self, join: Join, channels: int = 6) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 6, 1), nn.Conv2d(3, 6, 1)
        self.last, self.join = nn.Conv2d(channels, 4, 1), join

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.join(self.one(x), self.two(x)))


# -- Channels that may be scaled ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "join",
    [
        lambda a, b: F.max_pool2d(a, 3, 1, 1) * b.sigmoid(),
        lambda a, b: F.adaptive_max_pool2d(a, 2) * F.adaptive_avg_pool2d(b, 2).sigmoid(),
        lambda a, b: F.interpolate(a, scale_factor=2.0),
        lambda a, b: F.pad(a, (1, 1, 1, 1), mode="reflect").relu(),
        lambda a, b: F.pad(a, (1, 2)).flatten(2).unsqueeze(2),
        lambda a, b: a.mean((2, 3), keepdim=True).clone() / 3,
        lambda a, b: a * b[:, :1].sigmoid(),
        lambda a, b: a.permute(0, 2, 3, 1).transpose(1, 2).permute(0, 3, 1, 2),
        lambda a, b: torch.cat(a.split(2, 1)[::-1], 1),
        lambda a, b: torch.cat([a[:, :2], b[:, 2:]], 1),
    ],
    ids=["pool", "max pool", "nearest", "reflect", "pad", "mean", "gate", "permutation", "split", "slices"],
)
def test_channels_that_no_operator_mixes_are_in_groups_that_keep_the_output(join: Join) -> None:
    assert list_groups(Joined(join), 1, 3, 5, 7)


def test_products_of_query_and_key_are_in_a_group_that_keeps_the_output() -> None:
    (group, _) = list_groups(Attention(), 1, 3, 4, 5)
    assert group.inverse_producers


# -- Channels that may not ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("join", "channels"),
    [
        (lambda a, b: F.max_pool2d(a.permute(0, 2, 1, 3), 3, 1, 1).permute(0, 2, 1, 3), 6),
        (lambda a, b: F.avg_pool2d(a.permute(0, 2, 3, 1), (1, 3), 1, (0, 1)).permute(0, 3, 1, 2), 6),
        (lambda a, b: F.max_pool1d(a.flatten(2).transpose(1, 2), 3, 1, 1).transpose(1, 2).unflatten(2, (5, 7)), 6),
        (lambda a, b: F.interpolate(a.transpose(1, 3), scale_factor=2.0).transpose(1, 3), 12),
        (lambda a, b: F.adaptive_max_pool2d(a, 5).sigmoid(), 6),
        (lambda a, b: a[:, :1] * b.sigmoid(), 6),
        (lambda a, b: a[:, :1].expand(-1, 6, -1, -1).tanh() + b.tanh(), 6),
        (lambda a, b: a[:, :1].expand(-1, 6, -1, -1), 6),
        (lambda a, b: a[0, 0] * b.sigmoid(), 6),
        (lambda a, b: a + b.mean(1, keepdim=True), 6),
        (lambda a, b: torch.div(a, 2, rounding_mode="floor"), 6),
        (
            lambda a, b: (
                a.flatten(2).transpose(1, 2).matmul(torch.ones(6, dtype=a.dtype))[:, None].unflatten(2, (5, 7))
            ),
            1,
        ),
        (lambda a, b: F.pad(a.transpose(1, 3), (1, 1)).transpose(1, 3), 8),
        (lambda a, b: a.sort(1).values, 6),
        (lambda a, b: a.unflatten(1, (2, 3)).transpose(1, 2).flatten(1, 2).tanh(), 6),
    ],
)
def test_operators_over_channels_end_a_group(join: Join, channels: int) -> None:
    list_groups(Joined(join, channels), 1, 3, 5, 7)


class Attention(nn.Module):
    """Attention with one head; `use` does something else with query and key, too."""

    def __init__(self, use: Callable[[Tensor, Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(3, 6) for _ in range(3))
        self.last, self.use = nn.Linear(6, 4), use

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(2).transpose(1, 2)
        query, key = self.query(x), self.key(x)
        attended = self.last((query @ key.transpose(1, 2)).softmax(-1) @ self.value(x))
        return attended if self.use is None else attended + self.use(query, key).sum()


@pytest.mark.parametrize(
    "use",
    [
        lambda query, key: key.tanh(),
        lambda query, key: query.tanh(),
        lambda query, key: key @ key.transpose(1, 2),
        lambda query, key: query @ query.transpose(1, 2),
        lambda query, key: query @ key.roll(1, 1).transpose(1, 2) + (query[..., :3] @ key[..., 3:].transpose(1, 2)),
        lambda query, key: F.linear(key, torch.ones(2, 6, dtype=key.dtype)),
    ],
)
def test_a_query_or_key_that_something_else_takes_is_in_no_group(use: Callable[[Tensor, Tensor], Tensor]) -> None:
    names = {name for group in list_groups(Attention(use), 1, 3, 4, 5) for name in group.layers}
    assert not names & {"query", "key"}


def test_a_layer_with_a_computed_bias_or_a_weight_that_others_use_is_in_no_group() -> None:
    class Computed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.last = nn.Linear(3, 6), nn.Linear(6, 6), nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = F.linear(x.mean((2, 3)), self.one.weight, torch.cat([self.one.bias[:3], self.one.bias[3:]]))
            return self.last(self.two(x)) * self.two.weight.sum()

    assert list_groups(Computed(), 1, 3, 4, 5) == ()


# -- Real networks -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not is_timm_model("repvit_m0_9"), reason="timm is not installed")
@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("mobilenetv2_050", 2),  # its other activations are clamped
        ("mobilenetv3_small_050", 6),
        ("repvit_m0_9", 6),
        ("mobileone_s0", 18),
        ("efficientvit_m0", 60),
    ],
)
def test_the_groups_of_the_neighbours_keep_the_logits(name: str, least: int) -> None:
    torch.manual_seed(0)
    model = randomize(create_timm_model(name, 5), size=(64, 64))
    labels = tuple(f"kind {number}" for number in range(5))
    trained = TrainedModel(model.double(), TIMM, name, "timm", labels, Preprocessing(size=(64, 64)), name, "0" * 64)
    deployed = to_deploy_form(trained)
    images = torch.rand(1, 3, 64, 64, dtype=torch.float64) * 255
    assert len(deployed.wiring.groups) >= least
    assert find_broken_groups(deployed.module, deployed.wiring.groups, images) == []

"""A graph is cut where int8 layers have float around them, and each part computes what it computes in the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from shvit_mobile.deploy.exporting import export_model
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.xnnpack_form import rewrite_modules
from shvit_mobile.quantize.int8_parts import Int8Part, cut_int8_parts
from shvit_mobile.quantize.layers import find_dense_layers
from tests.builders import build_random_shvit, build_trained_model

SIZE = (64, 96)


def export_graph(module: nn.Module, shape: tuple[int, ...]) -> fx.GraphModule:
    return export_model(module.eval(), torch.zeros(shape)).module()  # type: ignore[return-value]


class _Recorder(fx.Interpreter):
    """Runs a graph and keeps the value of each node by name."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.values: dict[str, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        self.values[n.name] = super().run_node(n)
        return self.values[n.name]


def check_values(graph: fx.GraphModule, parts: list[Int8Part], image: Tensor) -> None:
    """Check that each part computes, from the value it takes, those that the graph has of the same names."""
    recorder = _Recorder(graph)
    recorder.run(image)
    for part in parts:
        (taken,) = (node for node in part.module.graph.nodes if node.op == "placeholder")
        (output,) = (node for node in part.module.graph.nodes if node.op == "output")
        assert part.shape == tuple(recorder.values[taken.name].shape)
        computed = part.module(recorder.values[taken.name])
        assert len(computed) == len(output.args[0]) > 0
        for node, value in zip(output.args[0], computed, strict=True):
            torch.testing.assert_close(value, recorder.values[node.name], rtol=0, atol=0)


def test_every_layer_of_a_shvit_is_in_one_part_that_computes_the_same() -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(seed=5), size=SIZE))
    names = [name for name, _ in find_dense_layers(deployed.module)]
    graph = export_graph(rewrite_modules(deployed), (1, 3, *SIZE))
    parts = cut_int8_parts(graph, names)
    assert sorted(layer for part in parts for layer in part.layers) == sorted(names)
    assert [part.takes_image for part in parts] == [True] + [False] * (len(parts) - 1)
    assert parts[0].layers == ("patch_embed.0", "patch_embed.2", "patch_embed.4", "patch_embed.6")
    assert any(part.layers[0].endswith("pw1") and part.layers[1].endswith("pw2") for part in parts[1:])
    check_values(graph, parts, 255 * torch.rand(1, 3, *SIZE))


def test_layers_in_float_end_a_part() -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(), size=SIZE))
    graph = export_graph(rewrite_modules(deployed), (1, 3, *SIZE))
    parts = cut_int8_parts(graph, ("patch_embed.0", "patch_embed.4", "patch_embed.6"))
    assert [(part.layers, part.takes_image) for part in parts] == [
        (("patch_embed.0",), True),
        (("patch_embed.4", "patch_embed.6"), False),
    ]


class _Branches(nn.Module):
    """A layer that two others read, one through a change of shape, and that is added to one of them; one runs twice."""

    def __init__(self, function: Callable[[Tensor], Tensor] = F.relu) -> None:
        super().__init__()
        self.stem, self.left, self.right = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1), nn.Linear(30, 5)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        stem = self.function(self.stem(x * 2 - 1))
        again = self.left(torch.sin(self.left(stem) + stem))
        return self.right(stem.reshape(1, 8, 30)).sum() + again


def test_a_part_with_branches_gives_every_value_that_is_used_outside() -> None:
    torch.manual_seed(0)
    graph = export_graph(_Branches(), (1, 3, 7, 8))
    parts = cut_int8_parts(graph, ("stem", "left", "right"))
    assert [part.layers for part in parts] == [("stem", "left", "right"), ("left",)]
    assert "mul" in parts[0].describe(), "what leads to the first layer is part of it"
    check_values(graph, parts, torch.rand(1, 3, 7, 8))


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1)), True),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6(), nn.Conv2d(4, 4, 1)), False),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 1)), False),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 1)), False),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.Conv2d(4, 4, 1)), False),
    ],
)
def test_parts_are_described_alike_if_they_differ_in_weights_alone(other: Callable[[], nn.Module], alike: bool) -> None:
    torch.manual_seed(1)
    first = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1))
    (one,), (two,) = (cut_int8_parts(export_graph(net, (1, 3, 9, 7)), ("0", "2")) for net in (first, other()))
    assert (one.describe() == two.describe()) == alike

"""A lowering that leaves out idle runs of a graph writes the same bytes, and leaves out no other run."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from executorch.exir.pass_base import ExportPass, _ExportPassBase
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from shvit_mobile.deploy.exporting import export_model
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.targets import idle_passes
from shvit_mobile.targets.executorch import ExecuTorchOptions, build_graph, lower_to_program
from shvit_mobile.targets.idle_passes import skip_idle_runs
from tests.builders import build_random_shvit, build_trained_model
from tests.quantize.builders import build_plain_recipe

SHAPE = (1, 3, 12, 10)


class Mixed(nn.Module):
    """Operators for which ExecuTorch and XNNPACK have passes: pads, pools, concatenations, upsampling, constants."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(16, 5, 1)
        self.norm, self.act = nn.BatchNorm2d(8), nn.PReLU(8)
        self.norm.running_mean = torch.randn(8)
        self.register_buffer("offset", torch.randn(8, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        x = self.act(self.norm(self.first(images))) + self.offset * 2
        pooled = nn.functional.max_pool2d(nn.functional.pad(x, (1, 0, 1, 0)), 2, 2)
        wide = nn.functional.interpolate(pooled, size=x.shape[2:], mode="bilinear")
        scores = torch.softmax(torch.cat([x, wide], 1).flatten(2) @ torch.ones(30, 4), -1)
        return self.second(torch.cat([x, wide], 1)).clone().mean((2, 3), keepdim=True) + scores.mean(1)[:, None, None]


class Doubling(ExportPass):  # type: ignore[misc]
    """Changes operators while a graph runs."""

    def call_operator(self, op: Any, args: Any, kwargs: Any, meta: Any) -> Any:
        return super().call_operator(op, args, kwargs, meta)


def lower_both(module: nn.Module, shape: tuple[int, ...], folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    lower_to_program(module, shape, folder / "shortened.pte")
    monkeypatch.setattr(idle_passes, "skip_idle_runs", nullcontext)
    lower_to_program(module, shape, folder / "whole.pte")
    return [(folder / f"{name}.pte").read_bytes() for name in ("shortened", "whole")]


def test_a_float_program_keeps_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shortened, whole = lower_both(Mixed().eval(), SHAPE, tmp_path, monkeypatch)
    assert shortened == whole


def test_an_int8_program_keeps_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(seed=4), size=(48, 64)))
    graph = build_graph(deployed, build_plain_recipe(deployed), ExecuTorchOptions())
    shortened, whole = lower_both(graph, (1, 3, 48, 64), tmp_path, monkeypatch)
    assert shortened == whole


def count_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    runs, run = list[Any](), _ExportPassBase.call_submodule
    with monkeypatch.context() as patch:
        patch.setattr(_ExportPassBase, "call_submodule", lambda *args: (runs.append(args), run(*args))[1])
        lower_to_program(Mixed().eval(), SHAPE, tmp_path / "counted.pte")
    return len(runs)


def test_many_runs_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = count_runs(tmp_path, monkeypatch)
    monkeypatch.setattr(idle_passes, "skip_idle_runs", nullcontext)
    assert fewer < 0.8 * count_runs(tmp_path, monkeypatch)


def trace() -> fx.GraphModule:
    return export_model(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()), torch.zeros(SHAPE)).graph_module


def test_a_graph_runs_again_once_it_or_a_value_has_changed() -> None:
    with skip_idle_runs():
        first = ExportPass()(trace()).graph_module
        assert ExportPass()(first).graph_module is first
        assert Doubling()(first).graph_module is not first, "this pass may change operators"
        relu = next(node for node in first.graph.nodes if "relu" in node.name)
        relu.meta["val"] = relu.meta["val"].clone()
        second = ExportPass()(first).graph_module
        assert second is not first
        relu = next(node for node in second.graph.nodes if "relu" in node.name)
        relu.target = torch.ops.aten.sigmoid.default
        assert ExportPass()(second).graph_module is not second
    assert ExportPass()(first).graph_module is not first


def test_a_program_is_decomposed_again_where_the_table_has_its_operators() -> None:
    decompose = ExportedProgram.run_decompositions
    with skip_idle_runs():
        once = export_model(nn.Sequential(nn.Conv2d(3, 4, 1), nn.SiLU()), torch.zeros(SHAPE)).run_decompositions({})
        assert once.run_decompositions({torch.ops.aten.relu.default: None}) is once  # type: ignore[dict-item]
        table = torch.export.default_decompositions()
        whole = once.run_decompositions(table)
        assert any(node.target == torch.ops.aten.sigmoid.default for node in whole.graph.nodes)
        assert whole.run_decompositions(table) is whole
    assert ExportedProgram.run_decompositions is decompose

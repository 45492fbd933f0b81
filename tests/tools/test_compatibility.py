"""The compatibility page says what was recorded, and what is recorded is what the artifacts compute."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compatibility_page
import compatibility_table
import pytest
import torch
from random_networks import create_random_network, shrink_branches
from torch import nn

ORIGIN = {"pictures": 8, "calibration": 16, "versions": {"timm": "1.0.31", "torch": "2.13.0"}}
WORKS: dict[str, Any] = {
    "commit": "abc",
    "sqnr_db": 104.26,
    "agreement": 1.0,
    "processor_seconds": 12.4,
    "bytes": 14_050_000,
    "delegates": 2,
    "left": {"aten::mean.dim": 1, "aten::native_layer_norm": 3},
}
TIMED = {"ms": 2.5, "stock_ms": 5.0, "ratio": {"value": 2.0, "low": 1.9, "high": 2.1}}
MODELS = [
    {
        "model": "second",
        "order": 1,
        **ORIGIN,
        "entries": {
            "executorch fp32": {"commit": "abc", "reason": "It has an operator a_b"},
            "executorch fp16": {"commit": "abc", "reason": "There is no fp16."},
            "executorch int8": {"commit": "abc", "reason": "It has an operator a_b"},
        },
    },
    {
        "model": "first",
        "order": 0,
        **ORIGIN,
        "entries": {
            "executorch fp32": WORKS,
            "executorch fp16": {"commit": "abc", "reason": "There is no fp16."},
            "executorch int8": WORKS | {"delegates": 1, "left": {}, "sqnr_db": 20.0},
        },
        "latency": {
            "commit": "def",
            "host": "A machine",
            "executorch fp32": TIMED,
            "executorch int8": {"ms": 1.0, "stock_reason": "It does not load"},
        },
    },
]
TABLE = """\
## ExecuTorch with XNNPACK

| model | fp32, dB | int8, dB | fp32, delegates | int8, delegates | fp32, left outside | int8, left outside \
| fp32, MB | int8, MB | fp32, ms | fp32, times as fast as stock \
| int8, ms | int8, times as fast as stock | processor s |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
| `first` | 104.3 | 20.0 | 2 | 1 | 1 mean, 3 native_layer_norm | - | 14.1 | 14.1 | 2.50 | 2.00 (1.90–2.10) | 1.00 | \
no stock export | 12 |
| `second` | no | no |  |  |  |  |  |  |  |  |  |  |  |

- fp16: There is no fp16.
- `first`, stock int8: It does not load.
- `second`, fp32, int8: It has an operator a\\_b.
"""


def test_the_table_of_a_target_says_what_works_and_why_the_rest_does_not() -> None:
    documents = sorted(MODELS, key=lambda one: one["order"])
    assert compatibility_page.format_target("executorch", documents) == TABLE


def test_the_page_states_where_its_figures_are_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for one in MODELS:
        (tmp_path / f"{one['model']}.json").write_text(json.dumps(one), encoding="utf-8")
    compatibility_page.main(tmp_path)
    page = capsys.readouterr().out
    assert TABLE in page
    assert "Exports: commit abc. Latencies: commit def, A machine. Versions: timm 1.0.31, torch 2.13.0." in page
    assert "on 8 of the embedded pictures" in page
    assert "beside its neighbours" not in page


def test_a_target_has_a_section_where_something_was_recorded() -> None:
    assert "## LiteRT\n" not in compatibility_page.format_page(MODELS)
    measured = {**MODELS[1], "entries": {"litert int8": {**WORKS, "sqnr_db": 46.63}}}
    page = compatibility_page.format_page([measured])
    assert (
        "| model | int8, dB | int8, delegates | int8, left outside | int8, MB |\n" in page.partition("## LiteRT\n")[2]
    )
    assert "ONNX" not in page.partition("## ")[2].partition("## How")[0]


def test_the_comparison_with_neighbours_is_a_section_of_the_page() -> None:
    neighbours = {
        "commit": "fed",
        "host": "A machine",
        "targets": ["onnx"],
        "settings": {"rounds": 31, "iterations": 10},
        "models": [
            {"model": "base", "size": [256, 256], "macs": 986_400_000, "onnx": {"ms": 2.5}},
            {"model": "other", "size": [224, 192], "macs": None, "onnx": TIMED},
            {"model": "third", "onnx": {"reason": "No."}},
        ],
    }
    page = compatibility_page.format_page(MODELS, neighbours)
    section = page.partition("## base in int8 beside its neighbours\n")[2].partition("\n## ")[0]
    assert section.splitlines()[-5:] == [
        "| model | size | million multiply-adds | ONNX, ms | base is times as fast |",
        "|---|---:|---:|---:|---:|",
        "| `base` | 256x256 | 986 | 2.50 | 1 |",
        "| `other` | 224x192 |  | 2.50 | 2.00 (1.90–2.10) |",
        "| `third` |  |  | no |  |",
    ]


def work_until(status: int, seconds: float) -> Iterator[dict[str, Any]]:
    yield {"bytes": 1}
    time.sleep(seconds)
    os._exit(status)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [((0, 600), "It took more than 20 s."), ((7, 0), "The process ended with status 7.")],
)
def test_a_process_that_ends_or_takes_too_long_leaves_its_results_and_a_reason(
    arguments: tuple[int, float], reason: str
) -> None:
    assert list(compatibility_table.run_apart(work_until, 20, *arguments)) == [{"bytes": 1}, {"reason": reason}]


def test_the_reason_for_a_failure_is_the_first_line_of_its_error() -> None:
    def fail() -> dict[str, Any]:
        raise ValueError(f"{Path.cwd()}/file is wrong\nand more")

    assert compatibility_table.catch_reason(fail) == {"reason": "ValueError: file is wrong"}


class Blocks(nn.Module):
    """Two residual blocks with a norm at the end of one branch and a layer scale at the end of the other."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.first = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
        self.second = nn.Conv2d(4, 4, 1)
        self.scale = nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).relu()
        x = x + self.first(x)
        return x + self.scale * self.second(x).relu()


def test_only_the_ends_of_branches_are_made_small() -> None:
    torch.manual_seed(0)
    model = Blocks().eval()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    shrink_branches(model, torch.zeros(1, 3, 8, 8))
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed == {"first.1.weight", "scale"}  # the bias of that norm is zero


def test_random_networks_are_the_same_each_time_and_use_their_pictures() -> None:
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    first, again = (create_random_network("mobilenetv3_small_050", images, classes=7) for _ in range(2))
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    with torch.no_grad():
        logits = first(images)
    assert (logits.shape, first.training) == ((4, 7), False)
    assert logits.std(0).mean() > 0.01


@pytest.mark.slow
def test_a_model_goes_through_the_whole_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"models": "mobilenetv3_small_050", "out": tmp_path, "precisions": "fp32,fp16", "limit": 300}
    compatibility_table.main(targets="onnx,coreml", keep=False, stock=False, latency=False, **options)
    compatibility_table.main(targets="onnx", keep=False, stock=True, latency=False, **options)
    compatibility_table.main(targets="onnx", keep=False, stock=False, latency=True, **options)
    found = json.loads((tmp_path / "mobilenetv3_small_050.json").read_text("utf-8"))
    for job in ("onnx fp32", "coreml fp32"):
        assert found["entries"][job]["sqnr_db"] > 90
        assert found["entries"][job]["agreement"] == 1
    assert 20 < found["entries"]["coreml fp16"]["sqnr_db"] < 90
    assert found["entries"]["onnx fp16"]["reason"].startswith("onnx has no fp16")
    assert found["latency"]["onnx fp32"]["ratio"]["low"] <= found["latency"]["onnx fp32"]["ratio"]["value"]
    capsys.readouterr()
    compatibility_table.main(targets="onnx,coreml", keep=True, stock=False, latency=False, **options)
    assert capsys.readouterr().out == ""  # nothing is exported twice
    compatibility_page.main(tmp_path)
    assert "| `mobilenetv3_small_050` |" in capsys.readouterr().out

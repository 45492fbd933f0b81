"""Core AI packages give the checkpoint's logits, have the dtypes of their recipe, and equal bytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import Precision, Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.errors import BadRecipe, NotSupported
from shvit_mobile.families.any_module import wrap_module
from shvit_mobile.metrics import sqnr
from shvit_mobile.quantize.layers import find_dense_layers
from shvit_mobile.runtimes import open_runner
from shvit_mobile.targets.coreai import PRECISIONS, CoreAIOptions, build
from tests.coreai_packages import lower_package, needs_coreai
from tests.programs import FLOAT_LAYER, compute_float_logits, draw_pictures

pytestmark = needs_coreai


@pytest.mark.parametrize(("precision", "least", "most"), [("fp32", 100, 200), ("fp16", 50, 90), ("int8", 25, 80)])
def test_logits_are_those_of_the_checkpoint_at_an_odd_size(precision: Precision, least: float, most: float) -> None:
    lowered, pixels = lower_package(precision), draw_pictures(2)
    reference = compute_float_logits(lowered.deployed, pixels)
    assert least < sqnr(reference, open_runner(lowered.artifact).run(pixels)) < most


def test_each_precision_has_its_dtypes() -> None:
    layers = [m for m in lower_package("fp32").deployed.module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    weights = sum(layer.weight.numel() for layer in layers)
    inventories = {precision: lower_package(precision).artifact.manifest.inventory for precision in PRECISIONS}
    assert set(inventories["fp32"].weight_bytes) == {"float32"}
    assert 4 * weights < inventories["fp32"].weight_bytes["float32"] < 4.3 * weights
    assert 2 * weights < inventories["fp16"].weight_bytes["float16"] < 2.3 * weights
    assert inventories["fp16"].weight_bytes["float32"] < 0.1 * weights
    assert [inventories[precision].quantized_layers for precision in ("fp32", "fp16")] == [0, 0]


def test_int8_stores_the_dense_layers_as_int8_but_for_those_that_the_recipe_keeps() -> None:
    lowered = lower_package("int8")
    inventory = lowered.artifact.manifest.inventory
    dense = dict(find_dense_layers(lowered.deployed.module))
    assert FLOAT_LAYER in dense
    quantized = [layer for name, layer in dense.items() if name != FLOAT_LAYER]
    assert inventory.quantized_layers == len(quantized)
    weights = sum(layer.weight.numel() for layer in quantized)
    # Core AI has a zero point for each channel of a weight, and one for each activation.
    zero_points = sum(layer.weight.shape[0] for layer in quantized) + 4 * len(quantized)
    assert weights < inventory.weight_bytes["int8"] < weights + zero_points


def test_operators_are_counted_by_apples_names() -> None:
    lowered = lower_package("fp32")
    operators = lowered.artifact.manifest.inventory.operators
    assert operators["conv2d"] == sum(isinstance(m, nn.Conv2d) for m in lowered.deployed.module.modules())
    assert operators["layer_norm"] == operators["softmax"] == 1
    assert not {"constant", "output", "invoke"} & set(operators)


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    """Apple's converter draws names at random in each process."""
    script = (
        "from pathlib import Path; import sys\n"
        "from tests.coreai_packages import *\n"
        "from shvit_mobile.targets.coreai import CoreAIOptions, build\n"
        "deployed = to_deploy_form(build_trained_model(build_random_shvit(SMALL), size=SIZE))\n"
        "from shvit_mobile.contracts.recipe import Recipe\n"
        "build(deployed, Recipe(precision='fp32'), Path(sys.argv[1]), CoreAIOptions())\n"
    )
    path = tmp_path / "again.aimodel"
    subprocess.run([sys.executable, "-c", script, path], check=True, cwd=Path(__file__).parents[3])
    manifest = lower_package("fp32").artifact.manifest
    assert compute_sha256(path) == manifest.artifact.sha256


def test_a_package_holds_neither_a_time_nor_a_path_of_this_machine() -> None:
    path = lower_package("fp32").artifact.path
    content = b"".join(file.read_bytes() for file in sorted(path.iterdir()))
    assert b"creationDate" not in content
    assert str(Path(__file__).parents[3]).encode() not in content
    assert b"site-packages" not in content


@pytest.mark.parametrize("precision", ["int8-weights", "palette-4"])
def test_other_precisions_are_rejected_with_the_supported_ones(precision: Precision, tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match="Its precisions: fp32, fp16, int8"):
        build(lower_package("fp32").deployed, Recipe(precision=precision), tmp_path / "m.aimodel", CoreAIOptions())
    assert not any(tmp_path.iterdir())


class _Spectrum(nn.Module):
    """A classifier with an operator that Apple's converter does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.head(torch.fft.rfft(self.conv(images)).abs().mean((2, 3)))
        return features


def test_an_operator_that_the_converter_lacks_is_named(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained = wrap_module(_Spectrum().eval(), labels=["a", "b", "c"], preprocessing=Preprocessing(size=(32, 32)))
    with pytest.raises(NotSupported, match="fft"):
        build(to_deploy_form(trained), Recipe(precision="fp32"), tmp_path / "m.aimodel", CoreAIOptions())
    assert not any(tmp_path.iterdir())

"""The executor against coremltools itself: its own value inference, and packages for every release of iOS."""

from __future__ import annotations

from typing import Any

import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder as mb  # noqa: N813
from coremltools.converters.mil.mil import Function
from torch import nn

from shvit_mobile.runtimes.mil.operators import OPERATORS
from shvit_mobile.runtimes.mil.program import CoreMLProgram
from shvit_mobile.targets.coreml.options import DEPLOYMENT_TARGETS
from tests.runtimes.mil.packages import OperatorCase, collect_inputs, convert_module, draw_array, save_model
from tests.runtimes.mil.test_operators import GROUPS, RELEASES, TOLERANCE, save_group

# By group, those that coremltools computes when their inputs are constants; convolutions, pools and resizing are not
# among them.
INFERRED = {
    "elementwise": tuple(GROUPS["elementwise"]),
    "products": tuple(GROUPS["products"]),
    "norms": tuple(name for name in GROUPS["norms"] if name.startswith("layer_norm")),
    # Its inference of an interleaved concat is that of a plain one, against its own documentation.
    "shapes": tuple(name for name in GROUPS["shapes"] if name != "concat_interleaved"),
    # It has none for silu, and adds a negative upper bound twice.
    "activations": tuple(name for name in GROUPS["activations"] if name not in ("silu", "clamped_relu_below_zero")),
    "arithmetic": tuple(GROUPS["arithmetic"]),
    "conditions": tuple(GROUPS["conditions"]),
    "reductions": tuple(GROUPS["reductions"]),
    # Its inference of an exclusive sum fails.
    "moves": tuple(name for name in GROUPS["moves"] if name != "cumsum_exclusive"),
    "gathers": tuple(GROUPS["gathers"]),
    "attention": tuple(GROUPS["attention"]),
}
# Where the tests of these are: each makes a package of them and compares.
TESTED_IN_QUANTIZATION = {"quantize", "dequantize", *(name for name in OPERATORS if name.startswith("constexpr"))}
TESTED_IN_PROGRAM = {"classify"}


def infer_value(case: OperatorCase, release: ct.target) -> Any:
    """What coremltools makes of a case whose inputs are constants; it may write into them."""
    with Function({}, opset_version=release):
        return case.mil(*(mb.const(val=array.copy()) for array in case.inputs)).val


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("groups")
    return {group: save_group(group, folder) for group in GROUPS}


@pytest.mark.parametrize("group", INFERRED)
def test_operators_give_the_values_that_coremltools_infers(programs, group):
    results = programs[group](collect_inputs(GROUPS[group]))
    for name in INFERRED[group]:
        expected = infer_value(GROUPS[group][name], RELEASES.get(group, ct.target.iOS17))
        assert expected is not None, name
        scale = np.abs(expected).max()
        np.testing.assert_allclose(results[name], expected, rtol=TOLERANCE, atol=TOLERANCE * scale, err_msg=name)


def test_every_operator_is_tested(programs):
    tested = TESTED_IN_QUANTIZATION | TESTED_IN_PROGRAM
    assert OPERATORS.keys() == tested.union(*(program.operators for program in programs.values()))


class Attending(nn.Module):
    """Some of each kind of layer that a SHViT has, in shapes that are none of its own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.norm = nn.Conv2d(3, 12, 3, stride=2, padding=1), nn.GroupNorm(1, 12)
        self.depthwise, self.qkv = nn.Conv2d(12, 12, 3, padding=1, groups=12), nn.Conv2d(12, 20, 1)
        self.head = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).relu()
        x = x + self.depthwise(x)
        q, k, v = (part.flatten(2) for part in self.qkv(self.norm(x)).split([4, 4, 12], dim=1))
        attended = v @ (q.transpose(1, 2) @ k * 0.5).softmax(-1).transpose(1, 2)
        return self.head((attended.sigmoid() * x.flatten(2)).mean(2))


@pytest.mark.parametrize("fp16", [False, True], ids=["fp32", "fp16"])
@pytest.mark.parametrize("release", DEPLOYMENT_TARGETS)
def test_packages_for_every_release_agree_with_torch(tmp_path, release, fp16):
    module, x = Attending().eval(), draw_array(1, 3, 17, 14)
    model = convert_module(module, *x.shape, fp16=fp16, opset=getattr(ct.target, release))
    program = CoreMLProgram(save_model(model, tmp_path / "p.mlpackage"))
    with torch.inference_mode():
        expected = module(torch.from_numpy(x)).numpy()
    error = np.abs(program(x)["y"] - expected).max() / np.abs(expected).max()
    assert error < (5e-3 if fp16 else 1e-5)
    assert program.not_batchable_reason is None
    many = program(np.concatenate([x, -x, x]))["y"]
    np.testing.assert_allclose(many[[0, 2]], np.repeat(program(x)["y"], 2, 0), atol=3e-3 if fp16 else 1e-6)

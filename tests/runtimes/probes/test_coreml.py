"""The watch on a Core ML program: what a norm squares and sums inside one operator, which no output shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from shvit_mobile.contracts.preprocessing import convert_to_raw_input
from shvit_mobile.deploy.wiring import Call
from shvit_mobile.errors import BadArtifact
from shvit_mobile.runtimes.probes.coreml import CoreMLActivationObserver, CoreMLActivationProbe
from tests.runtimes.mil.packages import convert_module, save_model
from tests.runtimes.test_coreml import CLASSES, HEIGHT, WIDTH, build_artifact, draw_pictures

CHANNELS = 4
LANDMARKS = (
    Call("stem", "conv", (CHANNELS, 3, 1, 1)),
    Call("head", "linear", (CLASSES, CHANNELS * HEIGHT * WIDTH)),
)


class Normed(nn.Module):
    """A convolution, its output normalised over all of an image by one operator, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS, 1)
        self.head = nn.Linear(CHANNELS * HEIGHT * WIDTH, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(nn.functional.layer_norm(self.stem(x), (CHANNELS, HEIGHT, WIDTH)).flatten(1))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return Normed().eval()


@pytest.fixture(scope="module")
def made(network, tmp_path_factory):
    package = convert_module(network, 1, 3, HEIGHT, WIDTH, fp16=True)
    return build_artifact(save_model(package, tmp_path_factory.mktemp("packages") / "normed.mlpackage"))


@torch.no_grad()
def stem_of(network: nn.Module, pixels: np.ndarray) -> torch.Tensor:
    return network.stem(torch.from_numpy(convert_to_raw_input(pixels)))


def test_the_squares_inside_a_layer_norm_are_seen(network, made):
    pixels, seen = draw_pictures(1), {}
    watch = CoreMLActivationObserver(made, LANDMARKS)
    watch.run(pixels, lambda value, tensor: seen.setdefault((value.operator, value.part), tensor), round_to_fp16=False)
    stem = stem_of(network, pixels).double()
    # Weights of the package are rounded to fp16.
    torch.testing.assert_close(seen["layer_norm", "squares"].double(), stem.square(), rtol=5e-3, atol=5)
    assert float(seen["layer_norm", "sum"]) == pytest.approx(float(stem.square().sum()), rel=1e-3)
    assert float(seen["layer_norm", "squares"].max()) > 1e4
    assert float(seen["layer_norm", None].square().mean()) == pytest.approx(1, rel=1e-2)


class Normalized(nn.Module):
    """One value whose squares three operators sum, each over other axes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, CHANNELS, 1), nn.Linear(CHANNELS * HEIGHT * WIDTH, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = x + x.norm(dim=1, keepdim=True) + x.norm(dim=(2, 3), keepdim=True) + x.sum(dim=(1, 2), keepdim=True)
        return self.head(y.flatten(1))


def test_each_reduction_of_one_value_is_seen(tmp_path):
    torch.manual_seed(0)
    network, seen = Normalized().eval(), []
    package = save_model(convert_module(network, 1, 3, HEIGHT, WIDTH, fp16=True), tmp_path / "norms.mlpackage")
    pixels = draw_pictures(1)
    CoreMLActivationObserver(build_artifact(package), LANDMARKS).run(
        pixels, lambda value, tensor: seen.append((value.operator, value.part, tensor)), round_to_fp16=False
    )
    stem = stem_of(network, pixels)
    norms = [tensor for operator, part, tensor in seen if (operator, part) == ("reduce_l2_norm", "sum")]
    torch.testing.assert_close(norms[0].flatten(), stem.square().sum(1).flatten(), rtol=1e-2, atol=1)
    torch.testing.assert_close(norms[1].flatten(), stem.square().sum((2, 3)).flatten(), rtol=1e-2, atol=1)
    (sums,) = [tensor for operator, part, tensor in seen if (operator, part) == ("reduce_sum", "sum")]
    torch.testing.assert_close(sums.flatten(), stem.sum((1, 2)).flatten(), rtol=1e-2, atol=5)


def test_later_layers_compute_with_a_forced_value(network, made):
    probe, pixels = CoreMLActivationProbe(made, LANDMARKS), draw_pictures(1)
    own = probe.run_free(pixels)
    torch.testing.assert_close(own["stem"], stem_of(network, pixels), rtol=1e-2, atol=0.5)
    given = torch.linspace(-3, 3, own["stem"].numel()).reshape(own["stem"].shape)
    forced = probe.run_teacher_forced(pixels, {"stem": given, "head": own["head"]})
    torch.testing.assert_close(forced["stem"], own["stem"], rtol=0, atol=0)
    with torch.no_grad():
        expected = network.head(nn.functional.layer_norm(given, given.shape[1:]).flatten(1))
    torch.testing.assert_close(forced["head"], expected, rtol=2e-2, atol=2e-2)
    assert not torch.allclose(forced["head"], own["head"], atol=0.1)


def test_a_missing_or_additional_layer_is_rejected(made):
    with pytest.raises(BadArtifact, match="2 of 3"):
        CoreMLActivationProbe(made, (*LANDMARKS, Call("more", "conv", (1, 1, 1, 1))))
    with pytest.raises(BadArtifact, match=r"stem is \('conv', \(5, 3, 1, 1\)\)"):
        CoreMLActivationProbe(made, (Call("stem", "conv", (5, 3, 1, 1)), LANDMARKS[1]))


def test_a_missing_residual_sum_is_rejected(made):
    with pytest.raises(BadArtifact, match="sums where its checkpoint has 1: residual"):
        CoreMLActivationProbe(made, (LANDMARKS[0], Call("residual", "residual", ()), LANDMARKS[1]))

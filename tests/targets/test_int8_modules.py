"""int8 of modules that other families have: each target answers as the simulation does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from shvit_mobile.contracts.manifest import Target
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import BadRecipe
from shvit_mobile.families.any_module import wrap_module
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.runtimes import open_runner
from shvit_mobile.targets.executorch import ExecuTorchOptions
from shvit_mobile.targets.target_options import TargetOptions
from tests.builders import draw_smooth_pixels
from tests.quantize.builders import build_plain_recipe, simulate_int8

SIZE = (32, 24)
OPTIONS: dict[Target, TargetOptions | None] = {
    "coreml": None,
    "executorch": ExecuTorchOptions(head="float"),
    "onnx": None,
}


class Chain(nn.Module):
    """Convolutions with an activation behind each."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, padding=1)
        self.activation, self.last, self.head = activation, nn.Conv2d(8, 12, 1), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.second(self.activation(self.first(x))))
        return self.head(self.activation(self.last(x)).mean((2, 3)))


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.forward = function


class Dropping(Chain):
    """Dropout between layers and activations, which does nothing here."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Dropout(0.1), nn.ReLU(), nn.Dropout(0.1)))


class Tokens(nn.Module):
    """A transformer's block: linear layers over positions, attention, a concatenation with the image."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.embed = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 1)
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.qkv, self.proj = nn.Linear(8, 24), nn.Linear(8, 8)
        self.wide, self.narrow, self.act = nn.Linear(8, 32), nn.Linear(32, 8), nn.GELU()
        self.fuse, self.head = nn.Conv2d(16, 8, 3, padding=1), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        image = nn.functional.silu(self.stem(x))
        x = self.embed(image).flatten(2).transpose(1, 2)
        query, key, value = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        x = x + self.proj((query @ key.transpose(1, 2) / 3).softmax(-1) @ value)
        x = x + self.narrow(self.act(self.wide(self.norm2(x))))
        x = x.transpose(1, 2).reshape(image.shape)
        return self.head(self.fuse(torch.cat([image, x], 1)).mean((2, 3)))


class Joined(nn.Module):
    """Layers whose outputs are concatenated, for other layers only."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, 4)
        self.one, self.two, self.last = nn.Conv2d(8, 6, 1), nn.Conv2d(8, 6, 3, padding=1), nn.Conv2d(12, 8, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        return self.head(self.last(torch.cat([self.one(x).relu(), 3 * self.two(x).relu()], 1)).mean((2, 3)))


class Twice(nn.Module):
    """A layer that runs three times: on another layer's integers, on its own behind a relu, and on a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv, self.head = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.conv(self.conv(x).relu())
        return self.head(self.conv(x + y).mean((2, 3)))


class Moved(nn.Module):
    """A linear layer that reads a convolution's output at other positions, and a relu that is not alone."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv, self.linear = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 1), nn.Linear(8, 8)
        self.other, self.head = nn.Conv2d(8, 8, 1), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        tokens = self.linear(self.conv(x.relu()).flatten(2).transpose(1, 2)).mean(1)
        return self.head(tokens + self.other(x).mean((2, 3)))


class Unused(Chain):
    """A layer that only training needs, and that no image reaches."""

    def __init__(self) -> None:
        super().__init__(nn.ReLU())
        self.auxiliary = nn.Conv2d(8, 8, 1)


class Scaled(nn.Module):
    """Layers whose outputs have a factor for each channel, as a residual branch often does."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv, self.linear = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 8)
        self.gamma, self.head = nn.Parameter(0.2 + torch.rand(8, 1, 1)), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = x + self.conv(x) * self.gamma
        tokens = x.flatten(2).transpose(1, 2)
        return self.head((tokens + self.linear(tokens) * self.gamma.flatten()).mean(1))


class Local(nn.Module):
    """Attention behind a sum, whose values a depthwise convolution reads, too."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.query, self.key, self.value = nn.Conv2d(3, 8, 4, 4), *(nn.Conv2d(8, 8, 1) for _ in range(3))
        self.wide, self.local, self.head = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.wide(x)
        query, key, value = self.query(x), self.key(x), self.value(x)
        local = self.local(value)
        query, key, value = (one.reshape(x.shape[0], 2, 4, -1) for one in (query, key, value))
        mixed = value @ (query.transpose(-1, -2) @ key / 9).softmax(-1)
        return self.head((local + mixed.reshape(local.shape)).mean((2, 3)))


MODULES = {
    "relu": lambda: Chain(nn.ReLU()),
    "relu6": lambda: Chain(nn.ReLU6()),
    "relu6-function": lambda: Chain(Function(nn.functional.relu6)),
    "hardtanh": lambda: Chain(nn.Hardtanh(-1.5, 2.0)),
    "hard-swish": lambda: Chain(nn.Hardswish()),
    "hard-sigmoid": lambda: Chain(nn.Hardsigmoid()),
    "gelu": lambda: Chain(nn.GELU()),
    "silu": lambda: Chain(nn.SiLU()),
    "dropout": Dropping,
    "tokens": Tokens,
    "joined": Joined,
    "twice": Twice,
    "moved": Moved,
    "scaled": Scaled,
    "local": Local,
    "unused": Unused,
}


@pytest.fixture(scope="module", params=MODULES)
def deployed(request: pytest.FixtureRequest) -> DeployForm:
    return build_form(MODULES[request.param])


def build_form(create: Callable[[], nn.Module]) -> DeployForm:
    """Return a module with layers that mix channels strongly, so that values reach the bends of activations."""
    torch.manual_seed(4)
    module = create().eval()
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.weight.normal_(0, 2.5 * layer.weight[0].numel() ** -0.5)
    preprocessing = Preprocessing(size=SIZE)
    return to_deploy_form(wrap_module(module, labels=list("abcde"), preprocessing=preprocessing))


def test_each_call_of_a_layer_has_its_range() -> None:
    deployed = build_form(Twice)
    recipe = build_plain_recipe(deployed)
    assert list(recipe.ranges) == ["model.stem", "model.conv", "model.conv@2", "model.conv@3"]
    assert recipe.ranges["model.conv"].output[0] == 0
    assert recipe.ranges["model.conv@2"].output[0] < 0
    assert len({seen.input for seen in recipe.ranges.values()}) == 4
    without = recipe.model_copy(update={"ranges": {name: recipe.ranges[name] for name in ("model.stem", "model.conv")}})
    pixels = draw_smooth_pixels(8, SIZE, seed=3)
    with torch.no_grad():
        errors = [(simulate_int8(deployed, one)(pixels) - deployed.module(pixels)).norm() for one in (recipe, without)]
    assert errors[0] < 0.3 * errors[1]
    stranger = recipe.model_copy(update={"ranges": {**recipe.ranges, "model.conv@4": recipe.ranges["model.conv"]}})
    with pytest.raises(BadRecipe, match=r"model\.conv@4"):
        simulate_int8(deployed, stranger)


@pytest.mark.parametrize(
    ("target", "options"),
    [*OPTIONS.items(), ("executorch", ExecuTorchOptions(head="float", float_dtype="fp16"))],
    ids=["coreml", "executorch", "onnx", "executorch in fp16"],
)
def test_the_target_answers_as_the_simulation(
    target: Target, options: TargetOptions | None, deployed: DeployForm, tmp_path: Path
) -> None:
    recipe = build_plain_recipe(deployed)
    pixels = draw_smooth_pixels(8, SIZE, seed=3)
    with torch.no_grad():
        reference, simulated = deployed.module(pixels), simulate_int8(deployed, recipe)(pixels)
    artifact = lower(deployed, recipe, target, tmp_path, options=options)
    answer = torch.from_numpy(open_runner(artifact).run(pixels.permute(0, 2, 3, 1).to(torch.uint8).numpy()))
    noise = float((simulated - reference).norm() / reference.norm())
    own = float((answer - simulated).norm() / reference.norm())
    assert noise > 1e-3, "nothing is quantized"
    computes_in_half = target == "coreml" or (options is not None and "fp16" in options.suffix)
    assert own < noise * (0.8 if computes_in_half else 0.4)

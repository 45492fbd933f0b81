"""The exported graph gives the calls of all layers in order, what feeds and follows them, and equalization groups."""

import pytest
import torch
from torch import Tensor, nn

from shvit_mobile.deploy.activations import Activation
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.wiring import ChannelSlice, EqualizationGroup, Wiring
from shvit_mobile.families.shvit import VARIANTS
from tests.builders import build_random_shvit, build_trained_model


@pytest.fixture(scope="module", params=["tiny", *VARIANTS])
def deployed(request: pytest.FixtureRequest) -> DeployForm:
    variant = request.param
    model = build_random_shvit() if variant == "tiny" else build_random_shvit(variant, classes=3)
    return to_deploy_form(build_trained_model(model, size=(96, 65)))


def wire(module: nn.Module, *shape: int) -> Wiring:
    return Wiring.from_module(module.eval(), shape or (1, 8, 9, 7))


# -- SHViT -------------------------------------------------------------------------------------------------------------


def test_calls_are_in_the_order_in_which_layers_run(deployed: DeployForm) -> None:
    module = deployed.module
    names = {id(layer): name for name, layer in module.named_modules()}
    ran: list[str] = []
    hooks = [layer.register_forward_hook(lambda layer, *_: ran.append(names[id(layer)])) for layer in module.modules()]
    with torch.no_grad():
        module(torch.zeros(1, 3, 96, 65))
    for hook in hooks:
        hook.remove()
    found = {call.name: call for call in deployed.wiring.calls}
    assert list(found) == [name for name in ran if name in found]
    assert {name for name, call in found.items() if call.kind == "conv"} == {
        name for name, layer in module.named_modules() if isinstance(layer, nn.Conv2d)
    }
    assert [call.name for call in found.values() if call.kind == "linear"] == ["head"]
    for name, call in found.items():
        weight = getattr(module.get_submodule(name), "weight", None)
        assert call.weight_shape == (() if weight is None else tuple(weight.shape))
    # A feed-forward part in each block and two in each downsampling; attention in the blocks of two stages.
    depths = module.config.depths
    attentions = sum(depth for depth, kind in zip(depths, module.config.block_types, strict=True) if kind == "s")
    residuals = [call for call in found.values() if call.kind == "residual"]
    assert len(residuals) == sum(depths) + 2 * (len(depths) - 1) + attentions


def test_the_layer_that_feeds_another_is_known(deployed: DeployForm) -> None:
    sources = deployed.wiring.sources
    assert sources["patch_embed.2"] == "patch_embed.0"
    assert sources["stages.1.downsample.1.m.pw2"] == "stages.1.downsample.1.m.pw1"
    assert sources["stages.1.downsample.2.se.fc2"] == "stages.1.downsample.2.se.fc1"
    # Their inputs are a residual sum, a norm, a gated value and a concatenation.
    for name in ("ffn.m.pw1", "mixer.m.qkv", "mixer.m.proj.1"):
        assert sources.get(f"stages.1.blocks.1.{name}") in (None, "stages.1.blocks.1.conv")
    assert "stages.1.downsample.2.conv3" not in sources


def test_the_module_that_computes_the_input_of_a_layer_is_known(deployed: DeployForm) -> None:
    modules = {call.name: call.input_module for call in deployed.wiring.calls}
    block, down = "stages.1.blocks.0", "stages.1.downsample.2"
    assert modules["patch_embed.0"] == "patch_embed.centre"
    assert modules["patch_embed.2"] == "patch_embed.0"
    assert modules[f"{block}.mixer.m.qkv"] == f"{block}.mixer.m.pre_norm"
    assert modules[f"{block}.mixer.m.proj.1"] == f"{block}.mixer.m"
    assert modules[f"{down}.se.fc1"] == modules[f"{down}.conv3"] == f"{down}.se"
    assert modules["head"] == "", "the mean is in no module but the outermost"


def test_relus_and_first_layers_are_known(deployed: DeployForm) -> None:
    assert {"patch_embed.0", "stages.0.blocks.0.ffn.m.pw1"} < deployed.wiring.limits.keys()
    assert "patch_embed.6" not in deployed.wiring.limits
    assert deployed.wiring.first_layers == ("patch_embed.0",)


def test_groups_end_at_depthwise_convolutions_gates_and_heads_of_attention(deployed: DeployForm) -> None:
    groups = {group.name: group for group in deployed.wiring.groups}
    assert len(groups) == len(deployed.wiring.groups)
    dims, qk = deployed.trained.model.config.dims, deployed.trained.model.config.qk_dims[1]
    assert groups["patch_embed.6"].consumers == (ChannelSlice("stages.0.blocks.0.conv", 0, dims[0]),)
    down = "stages.1.downsample.2"
    assert groups[f"{down}.conv2"].consumers == tuple(
        ChannelSlice(f"{down}.{name}", 0, 4 * dims[0]) for name in ("se.fc1", "conv3")
    )
    qkv = "stages.1.blocks.0.mixer.m.qkv"
    assert groups[qkv].inverse_producers == (ChannelSlice(qkv, qk, 2 * qk),)
    assert not groups[qkv].consumers


# -- Other modules -----------------------------------------------------------------------------------------------------


class Branches(nn.Module):
    """Two layers whose outputs meet in the way that `join` says."""

    def __init__(self, join: object) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(8, 6, 1), nn.Conv2d(8, 6, 1)
        self.last, self.join = nn.Conv2d(12, 4, 1), join

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.join(self.one(x), self.two(x)))


def test_concatenated_channels_keep_their_places() -> None:
    one, two = wire(Branches(lambda a, b: torch.cat([a.relu(), b], 1))).groups
    assert one == EqualizationGroup(ChannelSlice("one", 0, 6), (ChannelSlice("last", 0, 6),))
    assert two == EqualizationGroup(ChannelSlice("two", 0, 6), (ChannelSlice("last", 6, 12),))


@pytest.mark.parametrize(
    "join",
    [
        lambda a, b: torch.cat([a, b], 1).tanh(),
        lambda a, b: torch.cat([a, b], 1) + torch.cat([b, a], 1),
        lambda a, b: torch.cat([a * b, b * a], 1),
        lambda a, b: torch.cat([a, b], 1) + 1,
        lambda a, b: torch.cat([a, b], 1).softmax(1),
        lambda a, b: nn.functional.pad(torch.cat([a, b], 1), (1, 1), value=1.0),
        lambda a, b: torch.cat([a, b], 1).clamp(0, 6),
        lambda a, b: torch.cat([a.mean(1, keepdim=True).expand(a.shape), b.tanh()], 1),
        lambda a, b: torch.cat([a.flip(1).tanh(), b.roll(1, 1)], 1),
    ],
    ids=["tanh", "sum", "product", "constant", "softmax", "padding", "relu6", "mean of channels", "roll"],
)
def test_channels_whose_scale_matters_are_in_no_group(join: object) -> None:
    assert wire(Branches(join)).groups == ()


def test_a_value_that_is_an_output_too_is_in_no_group() -> None:
    class TwoOutputs(nn.Sequential):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            x = self[0](x)
            return x, self[1](x)

    assert wire(TwoOutputs(nn.Conv2d(8, 6, 1), nn.Conv2d(6, 4, 1))).groups == ()


def test_a_gated_layer_is_in_a_group_and_its_gate_is_not() -> None:
    (group,) = wire(Branches(lambda a, b: torch.cat([a * b.sigmoid()] * 2, 1))).groups
    assert group == EqualizationGroup(
        ChannelSlice("one", 0, 6), (ChannelSlice("last", 0, 6), ChannelSlice("last", 6, 12))
    )


def test_a_layer_that_runs_twice_has_two_calls_and_no_group() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.conv(self.conv(x).relu()).mean((2, 3)))

    wiring = wire(Twice())
    assert [(call.name, call.kind) for call in wiring.calls] == [
        ("conv", "conv"),
        ("conv@2", "conv"),
        ("head", "linear"),
    ]
    assert wiring.sources == {"conv@2": "conv"}
    assert [call.activation for call in wiring.calls] == [Activation("relu"), None, None]
    assert not wiring.limits, "not behind all of its calls"
    assert wiring.groups == ()


def test_the_heads_of_attention_meet_in_inverse_groups() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.proj = nn.Linear(8, 24), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            query, key, value = self.qkv(x.flatten(2).transpose(1, 2)).split(8, -1)
            return self.proj((query @ key.transpose(1, 2)).softmax(-1) @ value)

    query, value = wire(Attention()).groups
    assert query == EqualizationGroup(ChannelSlice("qkv", 0, 8), (), (ChannelSlice("qkv", 8, 16),))
    assert value == EqualizationGroup(ChannelSlice("qkv", 16, 24), (ChannelSlice("proj", 0, 8),))

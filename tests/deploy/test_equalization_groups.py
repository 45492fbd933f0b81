"""Channels of a chain may be any power of two as large: the logits keep their very bits, the value between does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from shvit_mobile.deploy.equalization_groups import scale_channels
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.wiring import ChannelSlice, EqualizationGroup
from shvit_mobile.families.shvit import VARIANTS, SHViTConfig
from shvit_mobile.families.shvit_family import SHVIT
from shvit_mobile.families.timm_family import TIMM
from tests.builders import TINY, build_random_shvit, build_trained_model, draw_smooth_pixels

SIZE = (64, 80)
MODELS = [(variant, (64, 64)) for variant in VARIANTS]
MODELS += [("tiny", size) for size in ((64, 64), (97, 65), (33, 130))]


def form(config: SHViTConfig | str = TINY, size: tuple[int, int] = SIZE) -> DeployForm:
    return to_deploy_form(build_trained_model(build_random_shvit(config, classes=10, seed=4), size=size))


@pytest.fixture(scope="module")
def tiny() -> DeployForm:
    return form()


def channels(deployed: DeployForm, part: ChannelSlice) -> int:
    return len(deployed.module.get_submodule(part.layer).weight[part.channels])


def drawn(deployed: DeployForm) -> dict[str, Tensor]:
    """Exponents of every chain, from -3 to 3."""
    generator = torch.Generator().manual_seed(1)
    return {
        chain.name: torch.randint(-3, 4, (channels(deployed, chain.producer),), generator=generator, dtype=torch.int8)
        for chain in deployed.wiring.groups
    }


@torch.no_grad()
def outputs(module: nn.Module, pixels: Tensor) -> dict[str, Tensor]:
    """What each convolution answers, and the logits under no name."""
    seen: dict[str, Tensor] = {}
    watched = deepcopy(module)
    for name, layer in watched.named_modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda _, __, output, name=name: seen.update({name: output.clone()}))
    seen[""] = watched(pixels)
    return seen


def parameters_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def changed_layers(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> set[str]:
    return {name.rpartition(".")[0] for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize(("variant", "size"), MODELS)
def test_scaled_channels_keep_the_logits_bit_for_bit(variant: str, size: tuple[int, int]) -> None:
    deployed = form(TINY if variant == "tiny" else variant, size)
    module, groups = deployed.module, deployed.wiring.groups
    before = parameters_of(module)
    changed, pixels = scale_channels(module, groups, drawn(deployed)), draw_smooth_pixels(2, size)
    with torch.no_grad():
        reference = module(pixels)
        assert torch.equal(changed(pixels), reference)
    assert reference.std() > 0.05, "a model that answers the same to everything proves nothing"
    assert changed_layers(before, module.state_dict()) == set(), "the module itself stays as it is"
    ends = {end for chain in groups for end in chain.layers}
    assert changed_layers(before, changed.state_dict()) == ends


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_kind_of_chain_is_found_wherever_it_lies(variant: str) -> None:
    found = form(variant, (64, 64)).wiring.groups
    depths, steps = VARIANTS[variant].depths, len(VARIANTS[variant].depths) - 1
    assert Counter(SHVIT.get_group_kind(chain.producer.layer) for chain in found) == {
        "stem": 3,
        "feed-forward": sum(depths) + 2 * steps,
        "merging": 3 * steps,
        "attention": 2 * sum(depths[1:]),
        None: 1 + steps,
    }
    assert Counter(TIMM.get_group_kind(chain.producer.layer) for chain in found) == {
        "patch_embed.#": 4,
        "stages.#.blocks.#.ffn.m.pw1": sum(depths),
        "stages.#.downsample.#.m.pw1": 2 * steps,
        **dict.fromkeys((f"stages.#.downsample.#.{name}" for name in ("conv1", "conv2", "se.fc1", "conv3")), steps),
        "stages.#.blocks.#.mixer.m.qkv": 2 * sum(depths[1:]),
    }
    assert len({chain.name for chain in found}) == len(found)


def test_a_chain_may_begin_in_the_middle_of_a_layer(tiny: DeployForm) -> None:
    value = next(chain for chain in tiny.wiring.groups if chain.producer.start)
    assert value.name == "stages.1.blocks.0.mixer.m.qkv[16:]"
    assert (value.producer.start, value.producer.stop) == (16, 25)
    assert value.consumers == (ChannelSlice("stages.1.blocks.0.mixer.m.proj.1", 0, 9),)


NAMES = [chain.name for chain in form().wiring.groups]


@pytest.mark.parametrize("name", NAMES)
def test_a_chains_own_channels_are_scaled_and_no_others(name: str, tiny: DeployForm) -> None:
    chain = next(chain for chain in tiny.wiring.groups if chain.name == name)
    exponents = drawn(tiny)[name]
    pixels = draw_smooth_pixels(1, SIZE, seed=2)
    scaled = scale_channels(tiny.module, tiny.wiring.groups, {name: exponents})
    before, after = outputs(tiny.module, pixels), outputs(scaled, pixels)
    factors = torch.exp2(exponents.float())[:, None, None]
    expected = {layer: value.clone() for layer, value in before.items()}
    expected[chain.producer.layer][:, chain.producer.channels] *= factors
    for part in chain.inverse_producers:
        expected[part.layer][:, part.channels] /= factors
    assert not torch.equal(expected[chain.producer.layer], before[chain.producer.layer])
    for layer, value in after.items():
        assert torch.equal(value, expected[layer]), layer or "the logits"


def wrong(chain: EqualizationGroup) -> list[EqualizationGroup]:
    """The chain with an end lost, or read a channel further on."""
    found = [replace(chain, consumers=tuple(t for t in chain.consumers if t is not lost)) for lost in chain.consumers]
    found += [replace(chain, inverse_producers=())] if chain.inverse_producers else []
    if chain.producer.stop is not None:
        found.append(
            replace(
                chain, producer=replace(chain.producer, start=chain.producer.start + 1, stop=chain.producer.stop + 1)
            )
        )
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_chain_that_is_wired_wrongly_is_seen(name: str, tiny: DeployForm) -> None:
    right = next(chain for chain in tiny.wiring.groups if chain.name == name)
    exponents, pixels = drawn(tiny)[name], draw_smooth_pixels(1, SIZE)
    with torch.no_grad():
        reference = tiny.module(pixels)
        for mistake in wrong(right):
            if channels(tiny, mistake.producer) < len(exponents):
                continue
            answer = scale_channels(tiny.module, [mistake], {mistake.name: exponents})(pixels)
            assert not torch.equal(answer, reference), mistake

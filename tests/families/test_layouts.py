"""The renaming between the authors' layout and ours."""

from __future__ import annotations

import pytest

from shvit_mobile.families.layouts import detect_layouts, from_timm_key, to_timm_key
from tests.builders import TINY, build_random_shvit
from tests.families.layouts import official_state

# Read from the authors' model/shvit.py and timm's shvit.py.
PAIRS = {
    "patch_embed.6.bn.running_mean": "patch_embed.6.bn.running_mean",
    "blocks1.0.conv.m.c.weight": "stages.0.blocks.0.conv.m.c.weight",
    "blocks1.3.ffn.m.pw2.bn.bias": "stages.0.blocks.3.ffn.m.pw2.bn.bias",
    "blocks2.0.0.m.c.weight": "stages.1.downsample.0.m.c.weight",
    "blocks2.0.1.m.pw1.c.weight": "stages.1.downsample.1.m.pw1.c.weight",
    "blocks2.1.conv1.c.weight": "stages.1.downsample.2.conv1.c.weight",
    "blocks3.1.se.fc2.bias": "stages.2.downsample.2.se.fc2.bias",
    "blocks3.2.0.m.bn.running_var": "stages.2.downsample.3.m.bn.running_var",
    "blocks3.2.1.m.pw2.c.weight": "stages.2.downsample.4.m.pw2.c.weight",
    "blocks2.3.mixer.m.pre_norm.weight": "stages.1.blocks.0.mixer.m.pre_norm.weight",
    "blocks3.12.mixer.m.proj.1.c.weight": "stages.2.blocks.9.mixer.m.proj.1.c.weight",
    "head.l.weight": "head.l.weight",
    "head_dist.bn.running_mean": "head_dist.bn.running_mean",
}


@pytest.mark.parametrize(("official", "timm"), PAIRS.items())
def test_names_translate_both_ways(official, timm):
    assert to_timm_key(official) == timm
    assert to_timm_key(timm) == timm
    assert from_timm_key(timm, "official") == official
    assert from_timm_key(timm, "timm") == timm


def test_every_name_of_a_model_translates_and_returns():
    model = build_random_shvit(distilled=True)
    official, mine = official_state(model), model.state_dict()
    assert {to_timm_key(name) for name in official} == set(mine)
    assert {from_timm_key(name, "official") for name in mine} == set(official)
    assert any(name.startswith(f"blocks2.{TINY.depths[1] + 2}.") for name in official)


@pytest.mark.parametrize(
    "name", ["blocks2.0.9.m.c.weight", "blocks2.2.x", "blocks1.two.conv", "blocks2.1².a", "blocks0.1.a"]
)
def test_a_name_of_no_place_stays_as_it_is(name):
    assert to_timm_key(name) == name


def test_layouts_are_told_by_the_stages():
    assert detect_layouts(["patch_embed.0.c.weight", "blocks1.0.conv.m.c.weight"]) == {"official"}
    assert detect_layouts(["stages.0.blocks.0.conv.m.c.weight"]) == {"timm"}
    assert detect_layouts(["stages.0.x", "blocks3.x"]) == {"official", "timm"}
    assert detect_layouts(["layer1.0.conv1.weight", "head.l.weight"]) == set()

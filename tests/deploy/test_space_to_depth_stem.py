"""The stem on blocks answers as the plain one does, on every size, borders and all."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from shvit_mobile.contracts.input_layout import apply_space_to_depth, count_blocks
from shvit_mobile.contracts.preprocessing import Preprocessing, convert_to_raw_input
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.space_to_depth_stem import compute_border_values, convert_stem_to_space_to_depth
from shvit_mobile.errors import NotSupported
from shvit_mobile.families.shvit import VARIANTS
from shvit_mobile.quantize.overrides import apply_overrides
from shvit_mobile.targets.executorch import ExecuTorchOptions, build_input_contract
from tests.builders import build_random_shvit, build_trained_model, draw_smooth_pixels
from tests.quantize.builders import build_overridden_recipe


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("normalise", [True, False])
def test_the_logits_stay(variant: str, normalise: bool) -> None:
    model = build_trained_model(build_random_shvit(variant, classes=10), size=(66, 97))
    deployed = to_deploy_form(model, normalise=normalise)
    on_blocks = convert_stem_to_space_to_depth(deployed.module, deployed)
    pixels = draw_smooth_pixels(2, (66, 97)).permute(0, 2, 3, 1).to(torch.uint8).numpy()
    values = convert_to_raw_input(pixels) if normalise else model.preprocessing.normalize(pixels)
    stacked = apply_space_to_depth(values, compute_border_values(deployed.module, deployed.entry))
    reference = deployed.module(torch.from_numpy(values))
    assert reference.std() > 0.05
    torch.testing.assert_close(on_blocks(torch.from_numpy(stacked)), reference, rtol=1e-4, atol=1e-4)


def test_the_border_is_the_mean_of_the_overrides() -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(), size=(66, 97)))
    recipe, overrides = build_overridden_recipe(deployed)
    changed = apply_overrides(deployed, recipe, overrides)
    on_blocks = convert_stem_to_space_to_depth(changed.module, changed)
    border = build_input_contract(changed, ExecuTorchOptions(stem="space-to-depth")).border
    assert overrides.mean is not None
    assert border == tuple(overrides.mean.tolist())
    values = draw_smooth_pixels(2, (66, 97))
    stacked = torch.from_numpy(apply_space_to_depth(values.numpy(), border))
    torch.testing.assert_close(on_blocks(stacked), changed.module(values), rtol=1e-4, atol=1e-4)


@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 99))
def test_it_is_exact_where_nearly_all_is_border(height: int, width: int, seed: int) -> None:
    model = build_trained_model(build_random_shvit(seed=seed), size=(height, width))
    strong = replace(
        model, preprocessing=Preprocessing(size=(height, width), mean=(0.9, 0.1, 0.5), std=(0.05, 0.5, 1.0))
    )
    deployed = to_deploy_form(strong)
    convert_stem_to_space_to_depth(deployed.module, deployed)


@given(height=st.integers(1, 8), width=st.integers(1, 8))
def test_every_value_is_where_the_contract_says(height: int, width: int) -> None:
    values = np.arange(3 * height * width, dtype=np.float32).reshape(1, 3, height, width)
    stacked = apply_space_to_depth(values, (-1.0, -2.0, -3.0))
    assert stacked.shape == (1, 12, count_blocks(height), count_blocks(width))
    for colour in range(3):
        for row in range(2 * count_blocks(height)):
            for column in range(2 * count_blocks(width)):
                inside = 0 <= row - 2 < height and 0 <= column - 2 < width
                expected = values[0, colour, row - 2, column - 2] if inside else -1.0 - colour
                channel = (2 * (row % 2) + column % 2) * 3 + colour
                assert stacked[0, channel, row // 2, column // 2] == expected


def test_another_stem_is_refused() -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit()))
    dict(deployed.module.patch_embed.named_children())["0"].stride = (1, 1)
    with pytest.raises(NotSupported):
        convert_stem_to_space_to_depth(deployed.module, deployed)


def test_nothing_is_subtracted_any_more() -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit()))
    on_blocks = convert_stem_to_space_to_depth(deployed.module, deployed)
    assert next(name for name, _ in on_blocks.patch_embed.named_children()) == "0"
    assert isinstance(on_blocks.patch_embed[0], nn.Conv2d)
    assert on_blocks.patch_embed[0].padding == (0, 0)

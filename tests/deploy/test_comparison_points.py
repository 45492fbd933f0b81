"""The landmarks are the convolutions, the head and the residual sums, in the order in which their values are made."""

from __future__ import annotations

import pytest
import torch

from shvit_mobile.deploy.comparison_points import find_comparison_points
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.families.shvit import VARIANTS
from tests.builders import build_random_shvit, build_trained_model


@pytest.mark.parametrize(("variant", "convolutions"), [("shvit_s1", 77), ("shvit_s4", 103)])
def test_landmarks_are_in_the_order_of_the_data(variant, convolutions):
    module = to_deploy_form(build_trained_model(build_random_shvit(variant, classes=3))).module
    names = {id(layer): name for name, layer in module.named_modules()}
    ran: list[str] = []
    for layer in module.modules():
        layer.register_forward_hook(lambda layer, *_: ran.append(names[id(layer)]))
    with torch.no_grad():
        module(torch.zeros(1, 3, 64, 64))
    found = list(find_comparison_points(module))
    wanted = {landmark.name for landmark in found}
    assert [landmark.name for landmark in found] == [name for name in ran if name in wanted]
    kinds = [landmark.kind for landmark in found]
    blocks, attentions = sum(VARIANTS[variant].depths), sum(VARIANTS[variant].depths[1:])
    assert kinds.count("conv") == convolutions
    assert kinds.count("linear") == 1
    # A feed-forward part in each block and two in each downsampling; attention in the blocks of two stages.
    assert kinds.count("residual") == blocks + 4 + attentions

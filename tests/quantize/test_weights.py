"""What is left of small weights: whole steps of int8 or entries of a palette, in large layers of the kinds meant."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from shvit_mobile.contracts.recipe import PALETTE_FLOAT_KINDS, Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.families.shvit import SHViTConfig
from shvit_mobile.quantize.weights import (
    MAX_UNCOMPRESSED_ELEMENTS,
    PALETTE_BITS,
    WEIGHT_ONLY_PRECISIONS,
    compress_weights,
)
from tests.builders import build_random_shvit, build_trained_model

WIDE = SHViTConfig(dims=(32, 64, 96), partial_dims=(8, 14, 20), depths=(1, 1, 1), classes=37)
KINDS = {"int8-weights": (), **dict.fromkeys(PALETTE_BITS, PALETTE_FLOAT_KINDS)}


@pytest.fixture(scope="module")
def deployed():
    return to_deploy_form(build_trained_model(build_random_shvit(WIDE), size=(64, 64)))


def collect_layers(module):
    return {name: one for name, one in module.named_modules() if isinstance(one, nn.Conv2d | nn.Linear)}


@pytest.mark.parametrize("precision", WEIGHT_ONLY_PRECISIONS)
def test_large_weights_hold_few_values_and_all_else_stays(deployed, precision):
    before = {name: value.clone() for name, value in deployed.module.state_dict().items()}
    made = compress_weights(deployed, Recipe(precision=precision, float_kinds=KINDS[precision]))
    changed = 0
    for name, layer in collect_layers(made).items():
        weight, original = layer.weight, before[f"{name}.weight"]
        exempt = precision != "int8-weights" and (isinstance(layer, nn.Linear) or layer.groups > 1)
        if weight.numel() <= MAX_UNCOMPRESSED_ELEMENTS or exempt:
            assert torch.equal(weight, original), name
            continue
        changed += 1
        if precision == "int8-weights":
            steps = weight.flatten(1) / (original.half().float().flatten(1).abs().amax(1, keepdim=True) / 127)
            assert (steps - steps.round()).abs().max() < 1e-3, name
            # Half a step, and up to 127 steps rounded to fp16.
            assert ((weight - original).flatten(1).abs().amax(1) * 127 < 0.57 * original.flatten(1).abs().amax(1)).all()
        else:
            assert len(weight.unique()) <= 2 ** PALETTE_BITS[precision], name
        assert not torch.equal(weight, original), name
    assert changed > 10
    for name, value in made.state_dict().items():
        if not name.endswith(".weight") or value.ndim < 2:
            assert torch.equal(value, before[name]), name
    assert all(torch.equal(value, before[name]) for name, value in deployed.module.state_dict().items())

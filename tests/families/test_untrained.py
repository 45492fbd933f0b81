"""A model with random weights is the model that is deployed: its multiply-adds are those of the artifact."""

from __future__ import annotations

import pytest

from shvit_mobile.bench.macs import count_macs
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.families.timm_family import TIMM, create_timm_model, is_timm_model
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.families.untrained import create_untrained

pytestmark = pytest.mark.skipif(not is_timm_model("mobileone_s0"), reason="timm is not installed")
SHAPE = (1, 3, 32, 32)


@pytest.mark.parametrize("name", ["mobileone_s0", "repvit_m0_9", "mobilenetv3_small_050"])
def test_its_multiply_adds_are_those_of_the_deploy_form(name: str) -> None:
    labels = ("ant", "bee", "cat")
    preprocessing = Preprocessing(size=SHAPE[2:])
    trained = TrainedModel(create_timm_model(name, 3), TIMM, name, "timm", labels, preprocessing, "file", "0" * 64)
    untrained = create_untrained(name, 3)
    assert untrained is not None
    assert count_macs(untrained, SHAPE) == count_macs(to_deploy_form(trained).module, SHAPE)


def test_branches_for_training_do_not_count() -> None:
    untrained = create_untrained("mobileone_s0", 3)
    assert untrained is not None
    assert count_macs(create_timm_model("mobileone_s0", 3), SHAPE) > 3 * count_macs(untrained, SHAPE)


@pytest.mark.parametrize("name", ["custom", "no_such_model", "../model"])
def test_a_name_of_no_family_has_no_model(name: str) -> None:
    assert create_untrained(name, 3) is None

"""What the ablation changes is what it says, and the rest of the model stays."""

import ablate_xnnpack
import pytest
import torch

from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.xnnpack_form import rewrite_modules
from tests.builders import build_random_shvit, build_trained_model, draw_smooth_pixels
from tests.programs import SIZE, SMALL


@pytest.mark.parametrize("name", ablate_xnnpack.CHANGES)
def test_only_those_called_without_change_the_logits(name: str) -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(SMALL), size=SIZE))
    image, model = draw_smooth_pixels(1, SIZE), rewrite_modules(deployed)
    before = model(image)
    ablate_xnnpack.CHANGES[name][0](model)
    assert torch.allclose(model(image), before, rtol=1e-4, atol=1e-4) is not name.startswith("without")


def test_layers_kept_float_are_there() -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(SMALL), size=SIZE))
    names = [name for name, _ in deployed.module.named_modules()]
    for _, kept in ablate_xnnpack.CHANGES.values():
        assert any(kept in name for name in names)

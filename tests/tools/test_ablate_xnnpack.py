"""What the ablation changes is what it says, and the rest of the model stays."""

from pathlib import Path

import ablate_xnnpack
import pytest
import torch

from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.xnnpack_form import rewrite_modules
from shvit_mobile.images.image_set import open_images
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.targets.executorch import ExecuTorchOptions, build
from tests.builders import build_random_shvit, build_trained_model, draw_smooth_pixels, write_picture_folder
from tests.programs import SIZE, SMALL


@pytest.mark.parametrize("name", ablate_xnnpack.CHANGES)
def test_only_those_called_without_change_the_logits(name: str) -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(SMALL), size=SIZE))
    image, model = draw_smooth_pixels(1, SIZE), rewrite_modules(deployed)
    before = model(image)
    ablate_xnnpack.CHANGES[name].modify(model)
    assert torch.allclose(model(image), before, rtol=1e-4, atol=1e-4) is not name.startswith("without")


def test_layers_kept_float_are_there() -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(SMALL), size=SIZE))
    names = [name for name, _ in deployed.module.named_modules()]
    for change in ablate_xnnpack.CHANGES.values():
        assert any(change.kept in name for name in names)


def test_what_is_called_as_exported_is_what_an_export_writes_and_each_switch_changes_the_program(
    tmp_path: Path,
) -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(SMALL), size=(64, 96)))
    images = open_images(write_picture_folder(tmp_path / "pictures", count=4, size=(80, 110)))
    recipe, _ = calibrate_recipe(deployed, images, count=4)
    exported = tmp_path / "exported.pte"
    build(deployed, recipe, exported, ExecuTorchOptions(head="float"))
    switches = (ablate_xnnpack.AS_EXPORTED, "first convolution on single pixels", "graph as ExecuTorch writes it")
    programs = [ablate_xnnpack.lower_program(name, deployed, recipe, tmp_path).read_bytes() for name in switches]
    assert programs[0] == exported.read_bytes()
    assert len(set(programs)) == len(switches)

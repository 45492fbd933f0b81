"""Ranges of a package's values, gathered by running it, are those of the model it was made from."""

from __future__ import annotations

from pathlib import Path

import coremltools as ct
import numpy as np
import pytest
import torch
from torch import nn

from shvit_mobile.contracts.recipe import OBSERVERS, ObserverName, Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.errors import BadImages
from shvit_mobile.images.batches import iterate_batches
from shvit_mobile.images.image_set import open_images
from shvit_mobile.quantize.calibrate import calibrate
from shvit_mobile.quantize.layers import find_layers_before_relu
from shvit_mobile.runtimes.mil.calibration import collect_value_ranges
from shvit_mobile.targets.coreml import CoreMLOptions, build
from shvit_mobile.targets.coreml.spec.package import MLPackage, find_entry_block
from tests.builders import build_random_shvit, build_trained_model, write_picture_folder
from tests.runtimes.mil.packages import convert_module, draw_array, save_model


@pytest.mark.parametrize("observer", OBSERVERS)
def test_they_are_those_that_torch_calibrates(observer: ObserverName, tmp_path: Path) -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(), size=(64, 48)))
    images = open_images(write_picture_folder(tmp_path / "pictures", count=5))
    recipe = calibrate(deployed, images, count=5, observer=observer)
    path, options = tmp_path / "a.mlpackage", CoreMLOptions(classifier=False)
    build(deployed, Recipe(precision="fp32"), path, options)

    pictures = [
        {"image": picture}
        for batch in iterate_batches(images, deployed.trained.preprocessing)
        for picture in batch.pixels
    ]
    ranges = collect_value_ranges(path, pictures, observer)

    operations = list(find_entry_block(MLPackage(path))[1].operations)
    takers = {name: o for o in operations for a in o.inputs.values() for name in [b.name for b in a.arguments]}
    convolutions = {o.inputs["weight"].arguments[0].name: o for o in operations if o.type == "conv"}
    relus = find_layers_before_relu(deployed.module)
    for name, expected in recipe.ranges.items():
        convolution = convolutions[f"p_{name.replace('.', '_')}_weight"]
        given, made = convolution.inputs["x"].arguments[0].name, convolution.outputs[0].name
        made = takers[made].outputs[0].name if name in relus else made
        # A recipe holds five digits. A value at the edge of a bin may fall to either side of it in another order of
        # summation.
        close = {"rel": 1e-3 if observer != "min-max" else 1e-4, "abs": 1e-4}
        if observer == "mse":
            close["rel"] = 0.02
        assert ranges[given] == pytest.approx(expected.input, **close), name
        assert ranges[made] == pytest.approx(expected.output, **close), name


def test_every_value_of_a_foreign_package_has_its_own(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2)).eval()
    path = save_model(convert_module(module, 1, 3, 9, 9), tmp_path / "a.mlpackage")
    first, second = draw_array(1, 3, 9, 9), draw_array(1, 3, 9, 9, seed=1) * 3
    ranges = collect_value_ranges(path, [{"x": first}, {"x": second}])
    answers = torch.cat([module(torch.from_numpy(x)) for x in (first, second)]).detach()
    assert ranges["x"] == (min(first.min(), second.min()), max(first.max(), second.max()))
    assert ranges["y"] == pytest.approx((float(answers.min()), float(answers.max())), rel=1e-5)
    assert len(ranges) == 4


def test_a_range_is_of_all_images_and_not_of_the_last(tmp_path: Path) -> None:
    path = save_model(convert_module(nn.ReLU(), 1, 2, opset=ct.target.iOS17), tmp_path / "a.mlpackage")
    images = [{"x": np.float32([[-5, 7]])}, {"x": np.float32([[1, 2]])}]
    assert collect_value_ranges(path, images) == {"x": (-5, 7), "y": (0, 7)}


def test_no_images_are_refused(tmp_path: Path) -> None:
    path = save_model(convert_module(nn.ReLU(), 1, 2), tmp_path / "a.mlpackage")
    with pytest.raises(BadImages, match="no images to run"):
        collect_value_ranges(path, [])

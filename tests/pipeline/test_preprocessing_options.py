"""Channel order, resizing and filter of the options reach every artifact, its goldens and its runtime."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from shvit_mobile import ExportConfig, export
from shvit_mobile.bench.golden_check import check_goldens
from shvit_mobile.contracts.manifest import Target
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.families.checkpoints import save_checkpoint
from shvit_mobile.families.shvit import SHViTConfig
from shvit_mobile.runtimes import open_runner
from tests.builders import build_random_shvit, build_trained_model
from tests.images.pictures import draw_texture

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
SMALL = SHViTConfig(
    dims=(16, 24), partial_dims=(8, 9), qk_dims=(8, 8), depths=(1, 1), block_types=("i", "s"), classes=3
)


@pytest.mark.parametrize("target", ["coreml", "executorch", "onnx"])
def test_a_model_whose_first_layer_takes_blue_first_answers_like_the_one_that_takes_red_first(
    target: Target, tmp_path: Path
) -> None:
    red_first = build_trained_model(build_random_shvit(SMALL), size=(64, 48))
    blue_first = replace(red_first, model=deepcopy(red_first.model))
    stem = next(module for module in blue_first.model.modules() if isinstance(module, nn.Conv2d))
    with torch.no_grad():
        stem.weight.copy_(stem.weight.flip(1))
    pictures = [draw_texture(90, 120), draw_texture(200, 50)]
    answers = []
    for trained, order in ((red_first, 1), (blue_first, -1)):
        checkpoint = tmp_path / f"{order}.safetensors"
        save_checkpoint(trained, checkpoint)
        config = ExportConfig(
            checkpoint=checkpoint,
            targets=[target],
            precisions=["fp32"],
            mean=MEAN[::order],
            std=STD[::order],
            channel_order="rgb" if order == 1 else "bgr",
            resize_mode="squash",
            interpolation="lanczos",
            out=tmp_path / str(order),
        )
        (artifact,) = export(config).artifacts
        preprocessing = artifact.manifest.preprocessing
        assert preprocessing == Preprocessing(
            (64, 48), 0.875, "lanczos", MEAN[::order], STD[::order], "rgb" if order == 1 else "bgr", "squash"
        )
        runner = open_runner(artifact)
        assert check_goldens(artifact, runner).passed
        pixels = np.stack([preprocessing.preprocess_image(picture) for picture in pictures])
        answers.append(runner.run(pixels))
    assert np.abs(answers[0]).max() > 0.1
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-4)

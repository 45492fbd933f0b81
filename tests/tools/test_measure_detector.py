"""The maps that are measured are those of the checkpoint and of its artifacts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from measure_detector import main, run_artifact, run_checkpoint

from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.families.detectors import load_detector
from shvit_mobile.families.light_detector import LightDetector, save_light_detector
from shvit_mobile.pipeline.lower import lower
from tests.builders import build_random_shvit, write_picture_folder

SIZE = 64


def test_an_artifact_is_measured_beside_its_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pycocotools")
    detector = tmp_path / "detector.safetensors"
    preprocessing = Preprocessing((SIZE, SIZE), 1.0, resize_mode="squash")
    model = LightDetector(build_random_shvit(), 2, channels=8).eval()
    save_light_detector(model, ("green", "red"), preprocessing, detector)
    loaded = load_detector(detector)
    path = lower(to_deploy_form(loaded), Recipe(precision="fp32"), "onnx", tmp_path).path
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    expected, actual = (run(pixels) for run in (run_checkpoint(loaded), run_artifact(path, loaded)))
    assert len(expected) == len(actual) == 6
    for one, other in zip(expected, actual, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-3 * np.abs(one).max())
    with pytest.raises(SystemExit, match="another checkpoint"):
        run_artifact(path, replace(loaded, sha256="1" * 64))
    pictures = write_picture_folder(tmp_path / "pictures", count=4, size=(32, 32), classes=("green", "red"))
    photos = write_picture_folder(tmp_path / "photos", count=2, size=(90, 80))
    main(detector, pictures, photos, [path], scenes=3, seed=1)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.pop("model") for line in lines] == [detector.name, path.name]
    assert lines[0] == lines[1]
    assert lines[0]["scenes"] == 3

"""What `import shvit_mobile` gives, and how little it loads."""

import subprocess
import sys
from pathlib import Path

import pytest

import shvit_mobile
from tests.builders import build_random_shvit, build_trained_model, write_picture_folder

HEAVY = ("torch", "coremltools", "onnx", "onnxruntime", "executorch", "numpy", "PIL", "pydantic")


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import sys, shvit_mobile; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8")
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    for name in shvit_mobile.__all__:
        assert callable(getattr(shvit_mobile, name)), name
    assert set(shvit_mobile.__all__) <= set(dir(shvit_mobile))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lowr'"):
        _ = shvit_mobile.lowr


def test_the_whole_path_in_five_calls(tmp_path: Path) -> None:
    model = build_trained_model(build_random_shvit(), size=(48, 64))
    shvit_mobile.save_checkpoint(model, tmp_path / "model.safetensors")
    photos = shvit_mobile.open_images(write_picture_folder(tmp_path / "photos", count=24))

    loaded = shvit_mobile.load_checkpoint(tmp_path / "model.safetensors")
    deployed = shvit_mobile.to_deploy_form(loaded)
    recipe, overrides = shvit_mobile.calibrate_recipe(deployed, photos, precision="int8", count=12)
    artifact = shvit_mobile.lower(deployed, recipe, target="onnx", out=tmp_path / "out", overrides=overrides)
    drift = shvit_mobile.compare(artifact, loaded, photos)

    assert drift.how == "native"
    assert drift.images == 24
    assert 15 < drift.sqnr_db < 80, "int8 is near the float model and is not the float model"
    assert drift.agreement.value > 0.8
    assert shvit_mobile.Artifact.open(artifact.path).manifest == artifact.manifest

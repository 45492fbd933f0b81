"""Layers of a Core AI package are found by their order and shapes, and run in Apple's runtime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.drift.layer_drift import compare_layers
from shvit_mobile.errors import BadArtifact
from shvit_mobile.images.image_set import open_images
from shvit_mobile.runtimes.probes.coreai import CoreAIActivationProbe
from tests.builders import write_picture_folder
from tests.coreai_packages import lower_package, needs_coreai
from tests.programs import FLOAT_LAYER

pytestmark = needs_coreai


def compare(precision: Precision, folder: Path) -> dict[str, tuple[float, float]]:
    model = lower_package(precision)
    images = open_images(write_picture_folder(folder / precision, count=3, size=(80, 110)))
    rows = compare_layers(model.artifact, model.deployed.trained, images).rows
    return {row.layer: (row.free_db, row.forced_db) for row in rows}


@pytest.mark.parametrize(("precision", "least"), [("fp32", 100), ("fp16", 40)])
def test_every_layer_of_a_float_package_is_the_models_own(precision: Precision, least: float, tmp_path: Path) -> None:
    rows = compare(precision, tmp_path)
    assert list(rows) == [call.name for call in lower_package(precision).deployed.wiring.calls]
    assert min(min(row) for row in rows.values()) > least


def test_int8_layers_show_their_own_error(tmp_path: Path) -> None:
    rows = compare("int8", tmp_path)
    forced = {name: row[1] for name, row in rows.items()}
    assert min(forced.values()) > 20
    assert forced["stages.0.blocks.0.ffn.m.pw1"] < 60
    assert forced[FLOAT_LAYER] > 60


def test_a_package_of_another_model_is_rejected() -> None:
    model = lower_package("fp32")
    first, *others = model.deployed.wiring.calls
    with pytest.raises(BadArtifact, match="are not its checkpoint's"):
        CoreAIActivationProbe(model.artifact, others)
    wider = replace(first, weight_shape=(3, *first.weight_shape[1:]))
    with pytest.raises(BadArtifact, match=f"{first.name} is"):
        CoreAIActivationProbe(model.artifact, [wider, *others])

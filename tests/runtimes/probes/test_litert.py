"""Layers of a LiteRT file are compared by their names, in the file's own layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.drift.layer_drift import compare_layers
from shvit_mobile.errors import BadArtifact
from shvit_mobile.images.image_set import open_images
from shvit_mobile.runtimes.probes.litert import LiteRTActivationProbe
from shvit_mobile.targets.litert.editing import GraphEditor
from shvit_mobile.targets.litert.flatbuffer import iterate_graph, read_model, read_values, write_model
from tests.builders import write_picture_folder
from tests.litert import lower_model
from tests.programs import FLOAT_LAYER, draw_pictures


def compare(precision: Precision, folder: Path) -> dict[str, tuple[float, float]]:
    model = lower_model(precision)
    images = open_images(write_picture_folder(folder / precision, count=3, size=(80, 110)))
    rows = compare_layers(model.artifact, model.deployed.trained, images).rows
    return {row.layer: (row.free_db, row.forced_db) for row in rows}


def test_every_layer_of_a_float_file_is_the_models_own(tmp_path: Path) -> None:
    rows = compare("fp32", tmp_path)
    assert list(rows) == [call.name for call in lower_model("fp32").deployed.wiring.calls]
    assert min(min(row) for row in rows.values()) > 100


def test_int8_layers_show_their_own_error(tmp_path: Path) -> None:
    rows = compare("int8", tmp_path)
    forced = {name: row[1] for name, row in rows.items()}
    assert min(forced.values()) > 20
    assert forced["stages.0.blocks.0.ffn.m.pw1"] < 60
    # It is float, and so is its input, which only int8 layers before it have changed.
    assert forced["stages.0.blocks.0.conv"] > 30
    assert forced[FLOAT_LAYER] > 60


def test_a_changed_layer_is_found(tmp_path: Path) -> None:
    model = lower_model("fp32")
    file = read_model(model.artifact.path)
    name = "stages.1.downsample.2.conv3"
    view = next(view for view in iterate_graph(file) if view.outputs[0].name.decode() == name)
    values = read_values(file, view.inputs[1]).astype(np.float32) * np.float32(1.05)
    file.buffers[view.inputs[1].buffer].data = np.frombuffer(values.tobytes(), np.uint8)
    path = tmp_path / model.artifact.path.name
    path.write_bytes(write_model(file))
    points = model.deployed.wiring.calls
    changed, original = (
        LiteRTActivationProbe(artifact, points).run_free(draw_pictures(1))
        for artifact in (type(model.artifact)(path, model.artifact.manifest), model.artifact)
    )
    differing = [point for point in original if not np.array_equal(changed[point], original[point])]
    assert differing[0] == name


def test_a_file_without_the_layers_names_is_rejected(tmp_path: Path) -> None:
    model = lower_model("fp32")
    file = read_model(model.artifact.path)
    for tensor in GraphEditor(file).graph.tensors:
        tensor.name = tensor.name.replace(b"conv3", b"conv4")
    path = tmp_path / model.artifact.path.name
    path.write_bytes(write_model(file))
    with pytest.raises(BadArtifact, match=r"has no tensor 'stages.1.downsample.2.conv3'"):
        LiteRTActivationProbe(type(model.artifact)(path, model.artifact.manifest), model.deployed.wiring.calls)

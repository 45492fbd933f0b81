"""What needs a Mac says so elsewhere with the command to run there; its inputs are those that the package takes."""

from __future__ import annotations

import sys
from pathlib import Path

import coremltools as ct
import numpy as np
import pytest
from PIL import Image
from torch import nn

from shvit_mobile.errors import ToolMissing
from shvit_mobile.runtimes.apple_profiler import (
    COMPUTE_DEVICES,
    SkippedMeasurement,
    find_connected_iphone,
    format_device_names,
    load_compute_plan,
    make_blank_inputs,
    measure_on_device,
)
from tests.runtimes.mil.packages import convert_module

elsewhere = pytest.mark.skipif(sys.platform == "darwin", reason="a Mac does it")
on_a_mac = pytest.mark.skipif(sys.platform != "darwin", reason="needs macOS")
PACKAGE = Path("model.mlpackage")


@elsewhere
def test_a_compute_plan_is_skipped_off_the_mac():
    plan = load_compute_plan(PACKAGE)
    assert plan == SkippedMeasurement("needs macOS", "shvit-mobile inspect model.mlpackage --compute-plan")
    assert str(plan) == "skipped: needs macOS; on a Mac: shvit-mobile inspect model.mlpackage --compute-plan"


@elsewhere
@pytest.mark.parametrize("device", ["mac", "iphone"])
def test_a_measurement_is_skipped_off_the_mac(device):
    command = f"shvit-mobile benchmark model.mlpackage --on-device {device}"
    assert measure_on_device(PACKAGE, device) == SkippedMeasurement("needs macOS", command)


@elsewhere
def test_coremltools_looks_for_an_iphone_and_names_the_missing_tool():
    with pytest.raises(ToolMissing, match="cannot look for an iPhone: The 'devicectl' command is required"):
        find_connected_iphone()


def test_the_devices_are_named_as_coremltools_has_them():
    module = ct.models.compute_device
    assert {name for name in vars(module) if name in COMPUTE_DEVICES} == set(COMPUTE_DEVICES)
    names = ("MLCPUComputeDevice", "MLNeuralEngineComputeDevice")
    cpu, engine = (object.__new__(getattr(module, name)) for name in names)
    assert format_device_names([cpu, engine]) == ("CPU", "Neural Engine")


@pytest.mark.parametrize("kind", ["image", "tensor"])
def test_blank_inputs_match_the_package(kind):
    shape = (1, 3, 12, 20)
    given = ct.ImageType("x", shape=shape) if kind == "image" else ct.TensorType("x", shape=shape)
    (value,) = make_blank_inputs(convert_module(nn.Conv2d(3, 2, 3), *shape, inputs=[given]).get_spec()).values()
    if kind == "image":
        assert isinstance(value, Image.Image)
        assert (value.size, value.mode) == ((20, 12), "RGB")
    else:
        assert (value.shape, value.dtype) == (shape, np.float32)


@on_a_mac
def test_on_the_mac_every_operator_has_its_device(tmp_path):
    path = tmp_path / "conv.mlpackage"
    convert_module(nn.Conv2d(3, 2, 3), 1, 3, 12, 20).save(str(path))
    plan = load_compute_plan(path)
    assert {placed.device for placed in plan if placed.operator == "conv"} <= set(COMPUTE_DEVICES.values())
    assert measure_on_device(path, "mac", iterations=3).predict

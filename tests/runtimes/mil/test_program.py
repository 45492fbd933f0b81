"""Whole programs: SHViTs against torch, images, classifiers, the modes of arithmetic and what an observer sees."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder as mb  # noqa: N813
from coremltools.converters.mil.mil import Function, Program, types
from PIL import Image
from torch import nn

from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.errors import InvalidValue, ShapeMismatch
from shvit_mobile.runtimes.mil.program import CoreMLProgram
from tests.builders import TINY, build_random_shvit, build_trained_model
from tests.runtimes.mil.packages import (
    OperatorCase,
    convert_module,
    convert_program,
    draw_array,
    name_input,
    save_cases,
    save_model,
)

SIZE = (64, 96)
SMALL = replace(TINY, dims=(16, 24), partial_dims=(8, 9), qk_dims=(8, 8), depths=(1, 1), block_types=("i", "s"))


@pytest.fixture(scope="module")
def module():
    return to_deploy_form(build_trained_model(build_random_shvit(SMALL), size=SIZE)).module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(scope="module")
def fp32(module, folder):
    return save_model(convert_module(module, 1, 3, *SIZE, opset=ct.target.iOS15), folder / "fp32.mlpackage")


@pytest.fixture(scope="module")
def fp16(module, folder):
    image = ct.ImageType("image", shape=(1, 3, *SIZE), color_layout=ct.colorlayout.RGB)
    model = convert_module(module, 1, 3, *SIZE, fp16=True, opset=ct.target.iOS17, inputs=[image])
    return save_model(model, folder / "fp16.mlpackage")


def draw_pixels(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3)).astype(np.uint8)


def to_planes(picture):
    return torch.from_numpy(picture.astype(np.float32).transpose(2, 0, 1)[None].copy())


@torch.inference_mode()
def compute_logits(module, picture):
    return module(to_planes(picture)).numpy()


def compute_relative_error(actual, expected):
    return np.abs(actual - expected).max() / np.abs(expected).max()


def test_an_fp32_shvit_agrees_with_torch(fp32, module):
    program = CoreMLProgram(fp32)
    assert program.mode == "fp32"
    for seed in range(3):
        expected = compute_logits(module, draw_pixels(seed))
        actual = program({"x": to_planes(draw_pixels(seed))})["y"]
        assert actual.dtype == np.float32
        assert compute_relative_error(actual, expected) < 1e-5


def test_an_fp16_shvit_agrees_with_torch_to_fp16s_precision(fp16, module):
    program = CoreMLProgram(fp16)
    assert program.mode == "fp16"
    errors = [
        compute_relative_error(program({"image": p})["y"], compute_logits(module, p))
        for p in map(draw_pixels, range(3))
    ]
    assert max(errors) < 2e-2
    assert min(errors) > 1e-5  # or nothing was rounded


def test_an_unfused_shvit_with_its_norms_agrees_with_torch(folder):
    model = build_random_shvit(replace(SMALL, block_types=("s", "i")), distilled=True)
    path = save_model(convert_module(model, 1, 3, *SIZE), folder / "unfused.mlpackage")
    x = torch.from_numpy(draw_array(1, 3, *SIZE))
    with torch.inference_mode():
        assert compute_relative_error(CoreMLProgram(path)({"x": x})["y"], model(x).numpy()) < 1e-5


def test_the_modes_compute_as_precisely_as_they_say(tmp_path):
    weight, x = draw_array(9, 64, seed=1), draw_array(2, 64)
    path = save_cases(
        {"y": OperatorCase(lambda x: mb.linear(x=x, weight=weight), None, (x,))}, tmp_path / "linear.mlpackage"
    )
    exact = x.astype(np.float64) @ weight.astype(np.float64).T
    by_mode = {mode: CoreMLProgram(path, mode=mode)({name_input("y"): x})["y"] for mode in ("fp32", "fp64")}
    assert by_mode["fp64"].dtype == np.float64
    assert compute_relative_error(by_mode["fp64"], exact) < 1e-14
    assert 1e-9 < compute_relative_error(by_mode["fp32"], exact) < 1e-6


def test_mode_fp32_leaves_the_values_of_an_fp16_program_unrounded(fp16, module):
    expected = compute_logits(module, draw_pixels())
    by_mode = {mode: CoreMLProgram(fp16, mode=mode)({"image": draw_pixels()})["y"] for mode in ("fp16", "fp32")}
    assert compute_relative_error(by_mode["fp32"], expected) < compute_relative_error(by_mode["fp16"], expected)


def test_each_fp16_value_is_rounded_once_after_its_operator(tmp_path):
    with Function({"x": mb.placeholder((4,), dtype=types.fp16)}, opset_version=ct.target.iOS17) as function:
        third = mb.mul(x=function.inputs["x"], y=np.float16(1 / 3))
        function.set_outputs([mb.add(x=third, y=np.float16(0.1), name="sum")])
    program = Program()
    program.add_function("main", function)
    path = save_model(convert_program(program, ct.target.iOS17, ct.precision.FLOAT16), tmp_path / "half.mlpackage")
    x = np.float32([1.0001, 777.7, 3e-5, 60000 * 3])
    third = (x.astype(np.float16) * np.float32(np.float16(1 / 3))).astype(np.float16)
    expected = (third.astype(np.float32) + np.float32(np.float16(0.1))).astype(np.float16)
    with np.errstate(over="ignore"):
        actual = CoreMLProgram(path)({"x": x})["sum"]
    assert np.isinf(actual[3])  # past 65504 it overflows, as on the device
    np.testing.assert_array_equal(actual, expected.astype(np.float32))


def test_a_classifier_gives_the_label_and_the_probabilities(folder):
    torch.manual_seed(0)
    small = nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softmax(-1)).eval()
    labels = [f"class {index}" for index in range(5)]
    model = convert_module(small, 1, 3, *SIZE, outputs=None, classifier_config=ct.ClassifierConfig(labels))
    x = draw_array(1, 3, *SIZE)
    outputs = CoreMLProgram(save_model(model, folder / "classifier.mlpackage"))({"x": x})
    with torch.inference_mode():
        expected = small(torch.from_numpy(x))[0]
    assert set(outputs) == {"classLabel", "classLabel_probs"}
    assert outputs["classLabel"] == labels[int(expected.argmax())]
    assert list(outputs["classLabel_probs"]) == labels
    np.testing.assert_allclose(list(outputs["classLabel_probs"].values()), expected, atol=1e-6)


@pytest.mark.parametrize("layout", ["RGB", "BGR", "GRAYSCALE", "GRAYSCALE from colours"])
def test_images_come_to_the_program_as_core_ml_brings_them(layout, folder):
    layout, _, from_colours = layout.partition(" ")
    channels = 1 if layout == "GRAYSCALE" else 3
    torch.manual_seed(0)
    convolution = nn.Conv2d(channels, 2, 3)
    image = ct.ImageType("x", shape=(1, channels, *SIZE), color_layout=getattr(ct.colorlayout, layout))
    path = save_model(convert_module(convolution, 1, channels, *SIZE, inputs=[image]), folder / f"{layout}.mlpackage")
    picture = draw_pixels()
    grey = np.asarray(Image.fromarray(picture).convert("L"))
    seen = {"RGB": picture, "BGR": picture[..., ::-1], "GRAYSCALE": grey[..., None]}[layout]
    given = grey if layout == "GRAYSCALE" and not from_colours else picture
    with torch.inference_mode():
        expected = convolution(to_planes(seen)).numpy()
    np.testing.assert_allclose(CoreMLProgram(path)({"x": given})["y"], expected, atol=1e-3)


def test_an_observer_sees_every_float_value_by_its_name(fp32, module):
    program, seen = CoreMLProgram(fp32), {}
    outputs = program({"x": to_planes(draw_pixels())}, observe=lambda name, value: seen.update({name: value.clone()}))
    assert set(seen) == {"x", *(output.name for step in program._steps for output in step.outputs)}
    np.testing.assert_array_equal(seen["y"].numpy(), outputs["y"])
    np.testing.assert_array_equal(seen["x"].numpy(), to_planes(draw_pixels()).numpy())


def test_every_value_of_an_fp16_program_is_an_fp16_number(fp16):
    seen = {}
    CoreMLProgram(fp16)({"image": draw_pixels()}, observe=lambda name, value: seen.update({name: value.clone()}))
    assert len(seen) > 50
    assert [name for name, value in seen.items() if not torch.equal(value, value.half().float())] == []


def test_an_observer_sees_no_integers(tmp_path):
    def there_and_back(x):
        return mb.dequantize(input=mb.quantize(input=x, scale=np.float32(1), output_dtype="int8"), scale=np.float32(2))

    cases = {"q": OperatorCase(there_and_back, None, (draw_array(3),))}
    seen = []
    CoreMLProgram(save_cases(cases, tmp_path / "q.mlpackage"))(
        {name_input("q"): draw_array(3)}, observe=lambda name, value: seen.append((name, value.dtype))
    )
    assert len(seen) == 3  # the input, the dequantized value and the output
    assert {dtype for _, dtype in seen} == {torch.float32}


def test_values_are_freed_when_they_are_last_used(fp32):
    program = CoreMLProgram(fp32)
    alive, most = {"x"}, 1
    for step in program._steps:
        assert step.uses <= alive | program._constants.keys()
        alive |= {output.name for output in step.outputs}
        most = max(most, len(alive))
        alive -= set(step.dead)
    assert alive == set(program.outputs)
    assert most < 8


def test_values_that_depend_only_on_constants_are_computed_once(tmp_path):
    weight = np.arange(-12, 12, dtype=np.int8).reshape(4, 6)

    def build(x):
        return mb.matmul(x=x, y=mb.square(x=mb.dequantize(input=weight, scale=np.float32(0.5))), transpose_y=True)

    x = draw_array(2, 6)
    program = CoreMLProgram(save_cases({"y": OperatorCase(build, None, (x,))}, tmp_path / "c.mlpackage"))
    assert [step.location.rsplit(", ")[1].split()[0] for step in program._steps] == ["matmul", "identity"]
    np.testing.assert_allclose(program({name_input("y"): x})["y"], x @ np.square(weight * np.float32(0.5)).T, rtol=1e-5)


def test_a_program_runs_again_with_the_same_result(fp16):
    program = CoreMLProgram(fp16)
    first = program({"image": draw_pixels()})
    program({"image": draw_pixels(1)})
    np.testing.assert_array_equal(program({"image": draw_pixels()})["y"], first["y"])


def test_wrong_inputs_are_rejected(fp32, fp16):
    program, images = CoreMLProgram(fp32), CoreMLProgram(fp16)
    with pytest.raises(ShapeMismatch, match=r"'x' takes \(1, 3, 64, 96\), not \(1, 3, 64, 64\)"):
        program({"x": np.zeros((1, 3, 64, 64), np.float32)})
    with pytest.raises(InvalidValue, match=r"lack x and contain image.*\n.*fp32.mlpackage takes x"):
        program({"image": np.zeros((1, 3, *SIZE), np.float32)})
    with pytest.raises(InvalidValue, match="'image' has the dtype float32"):
        images({"image": draw_pixels().astype(np.float32)})
    with pytest.raises(ShapeMismatch, match=r"takes \(1, 3, 64, 96\), not \(1, 3, 96, 64\)"):
        images({"image": draw_pixels().transpose(1, 0, 2)})
    with pytest.raises(ShapeMismatch, match=r"has the shape \(64, 96, 4\)"):
        images({"image": np.zeros((*SIZE, 4), np.uint8)})


def test_programs_are_read_without_importing_coremltools(fp32):
    script = (
        "import sys; from pathlib import Path; from shvit_mobile.runtimes.mil.program import CoreMLProgram;"
        f"CoreMLProgram(Path({str(fp32)!r})); print('coremltools' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, encoding="utf-8")
    assert done.stdout == "False\n"
    assert done.stderr == ""

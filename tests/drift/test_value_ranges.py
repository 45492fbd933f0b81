"""Overflow and silence in fp16 are found where they were planted, and nowhere else."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch

from shvit_mobile.contracts.drift_report import RangeReport
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.demo import CHECKPOINT, TEST_IMAGES
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.layers import hook_layers
from shvit_mobile.drift.layer_drift import iterate_single_images
from shvit_mobile.drift.value_ranges import measure_ranges
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.families.shvit import SHViT
from shvit_mobile.images.image_set import ImageSet, open_images
from shvit_mobile.targets.coreml import convert
from tests.builders import write_picture_folder
from tests.probes import build_model, write_unverified_artifact

PRECISIONS = [("coreml", "fp16"), ("coreml", "fp32"), ("onnx", "fp32")]
NORM = "stages.2.blocks.0.mixer.m.pre_norm"


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> ImageSet:
    return open_images(write_picture_folder(tmp_path_factory.mktemp("pictures"), count=4, size=(90, 120)))


def swollen(network: SHViT) -> None:
    """The residual stream of the last stage, six hundred times as large, by the BatchNorm that it comes from."""
    scale(network, 600)


def overwhelmed(network: SHViT) -> None:
    """The same, past what fp16 holds itself."""
    scale(network, 200_000)


def shrunken(network: SHViT) -> None:
    scale(network, 1e-7)


def scale(network: SHViT, factor: float) -> None:
    norm = network.get_submodule("stages.2.downsample.2.conv3.bn")
    norm.weight.mul_(factor)
    norm.bias.mul_(factor)


def measured(plant, target, precision, images, folder) -> RangeReport:
    whole = build_model(plant)
    return measure_ranges(write_unverified_artifact(whole, target, Recipe(precision=precision), folder), whole, images)


@pytest.mark.parametrize(("target", "precision"), PRECISIONS)
def test_a_square_that_overflows_inside_the_norm_is_found(target, precision, images, tmp_path):
    report = measured(swollen, target, precision, images, tmp_path)
    assert report.computes_in_half == (precision == "fp16")
    assert report.flags
    assert {flag.partition(":")[0] for flag in report.flags} == {NORM}
    assert "times what fp16 holds" in report.flags[0]
    worst = max((row for row in report.values if row.part != "sum"), key=lambda row: row.largest)
    assert worst.layer == NORM
    assert worst.headroom_bits < 0
    # The stream itself fits: nothing but the norm's squares is too large.
    assert all(row.largest < 65504 for row in report.values if row.layer != NORM)


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_attention_that_went_silent_is_told(precision, images, tmp_path, monkeypatch):
    """In a package of the plain deploy form, whose norm coremltools writes as square, mean and division.

    Of a norm that is one operator, as in our own packages, only the squares can be held against fp16.
    """
    monkeypatch.setattr(convert, "rewrite_for_coreml", lambda deployed, layout: deepcopy(deployed.module))
    report = measured(swollen, "coreml", precision, images, tmp_path)
    assert f"{NORM}: silent in fp16 for 4 of 4 images" in " ".join(report.flags)
    assert f"{NORM}: in fp16 square is infinite or NaN for 4 of 4 images" in " ".join(report.flags)


@pytest.mark.parametrize(("target", "precision"), PRECISIONS[1:])
def test_a_stream_that_overflows_is_told_where_it_does_so_first(target, precision, images, tmp_path):
    report = measured(overwhelmed, target, precision, images, tmp_path)
    first = "stages.2.downsample.2.conv3"
    assert report.flags[0].startswith(f"{first}: conv")
    assert "times what fp16 holds" in report.flags[0]
    broken = [flag for flag in report.flags if "infinite or NaN" in flag]
    assert len(broken) == 1
    assert broken[0].startswith(f"{first}: in fp16 conv")
    assert "for 4 of 4 images" in broken[0]


@pytest.mark.parametrize(("target", "precision"), PRECISIONS)
def test_a_sound_model_has_no_flags_and_its_true_magnitudes(target, precision, images, tmp_path):
    whole = build_model()
    report = measure_ranges(
        write_unverified_artifact(whole, target, Recipe(precision=precision), tmp_path), whole, images
    )
    assert report.flags == ()
    assert report.images == 4
    largest = [row.largest for row in report.values]
    assert largest == sorted(largest, reverse=True)
    for layer, magnitude in float_magnitudes(whole, images).items():
        there = [row.largest for row in report.values if row.layer == layer]
        assert min(abs(value / magnitude - 1) for value in there) < 0.01, layer


def float_magnitudes(whole, images) -> dict[str, float]:
    """Return the largest magnitude at each comparison point of the deploy form."""
    deployed = to_deploy_form(whole)
    found: dict[str, float] = {}
    wanted = list(deployed.wiring.calls)
    for image in iterate_single_images(images, whole.preprocessing, None):
        values: dict[str, torch.Tensor] = {}
        layers = [(point.name, deployed.module.get_submodule(point.name)) for point in wanted]
        with hook_layers(layers, lambda name, _, __, output: values.update({name: output})):  # noqa: B023
            deployed.run(image)
        for name, value in values.items():
            found[name] = max(found.get(name, 0.0), float(value.abs().max()))
    return found


@pytest.mark.parametrize(("target", "precision"), PRECISIONS)
def test_values_too_small_for_fp16_are_noted(target, precision, images, tmp_path):
    report = measured(shrunken, target, precision, images, tmp_path)
    assert any("fewer digits" in note for note in report.notes)
    row = next(row for row in report.values if row.layer == "stages.2.downsample.2.conv3")
    assert row.smallest_peak < 2.0**-14
    assert row.subnormal == 1.0
    assert 0 < row.vanished < 0.9


def test_the_demo_model_fits_fp16(tmp_path):
    whole = load_checkpoint(CHECKPOINT)
    images = open_images(TEST_IMAGES, labels=whole.labels).sample(4, 0)
    report = measure_ranges(write_unverified_artifact(whole, "onnx", Recipe(precision="fp32"), tmp_path), whole, images)
    assert report.flags == ()
    assert np.isfinite(report.values[0].largest)
    assert min(row.headroom_bits for row in report.values) > 1

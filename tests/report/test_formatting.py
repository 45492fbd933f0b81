"""Figures read the same wherever they appear, and never say more or less than they are."""

from __future__ import annotations

from math import inf, nan

import pytest

from shvit_mobile.contracts.device_report import BenchmarkSettings, DeviceReport
from shvit_mobile.report import formatting as figures
from shvit_mobile.report.display_names import describe_configuration, format_label
from tests.fixtures import FIXTURES


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (-0.2, 2, "−0.20"),
        (-0.001, 2, "0.00"),
        (inf, 1, "∞"),
        (-inf, 1, "−∞"),
        (nan, 1, "not a number"),
        (1.25, 1, "1.2"),
    ],
)
def test_numbers(value: float, digits: int, text: str) -> None:
    assert figures.format_number(value, digits) == text


@pytest.mark.parametrize(("share", "text"), [(1.0, "100.0"), (0.9999, "99.9"), (0.998, "99.8"), (0.0, "0.0")])
def test_what_is_not_all_never_reads_as_all(share: float, text: str) -> None:
    assert figures.format_percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.578e-6, "1.6e−6"), (0.437, "0.44"), (2150.75, "2\u202f151"), (0.0, "0"), (1e9, "1e9"), (inf, "∞")],
)
def test_short_numbers(value: float, text: str) -> None:
    assert figures.format_significant(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.9712, "0.97"), (9.994, "9.99"), (9.996, "10.0"), (99.96, "100"), (1234.5, "1234")],
)
def test_three_digits_of_milliseconds(value: float | None, text: str) -> None:
    assert figures.format_milliseconds(value) == text


def test_words() -> None:
    assert figures.pluralize(1, "image") == "1 image"
    assert figures.pluralize(4200, "image") == "4\u202f200 images"
    assert figures.join_words(["a", "b", "c"]) == "a, b and c"
    assert figures.format_model_name("shvit_s3") == "SHViT-S3"
    assert figures.format_timestamp("2025-02-14T09:30:00+01:00") == "2025-02-14 09:30 UTC+01:00"
    assert figures.format_timestamp("yesterday") == "yesterday"


@pytest.mark.parametrize(
    ("name", "target", "precision", "text"),
    [
        ("shvit_s1-224-coreml-int8-weights.mlpackage", "coreml", "int8-weights", "Core ML int8-weights"),
        ("shvit_s1-224-executorch-int8-blocks.pte", "executorch", "int8", "ExecuTorch int8, blocks"),
        ("shvit_s1-224-executorch-coreml-fp16.pte", "executorch", "fp16", "ExecuTorch with Core ML fp16"),
        (
            *("shvit_s1-224-executorch-vulkan-int8.pte", "executorch", "int8"),
            "Unproven: ExecuTorch with Vulkan int8",
        ),
        ("mine-executorch-int8.pte", "executorch", "int8", "ExecuTorch int8"),
        ("model.onnx", "onnx", "fp32", "model.onnx"),
        ("a-onnx-fp32x.onnx", "onnx", "fp32", "a-onnx-fp32x.onnx"),
        ("deploy form", "pytorch", "fp32", "deploy form"),
    ],
)
def test_labels(name: str, target: str, precision: str, text: str) -> None:
    assert format_label(name, target, precision) == text


def test_threads_are_told_where_somebody_chose_them_and_only_there() -> None:
    report = DeviceReport.load(FIXTURES / "device_report" / "pixel-8.json")
    chosen = report.results[0].model_copy(update={"threads": 4})
    assert describe_configuration(report, chosen) == "CPU, 4 threads"
    settings = report.settings.model_copy(update={"threads": None})
    left = report.model_copy(update={"settings": settings})
    assert describe_configuration(left, chosen) == "CPU, 4 threads"
    assert describe_configuration(left, chosen.model_copy(update={"threads": None})) == "CPU"


@pytest.mark.parametrize(
    ("threads", "text"), [(1, "1 thread"), (4, "4 threads"), (None, "as many threads as engines choose")]
)
def test_settings_tell_threads_in_words(threads: int | None, text: str) -> None:
    assert BenchmarkSettings(threads=threads, batch=1, rounds=1, warm_up=0, iterations=1).threads_text == text

"""Artifacts and stock exports of the same checkpoint in one report, which survives its file and makes a chart."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from shvit_mobile.bench.benchmark import load_calibration_inputs, run_benchmark, sample_calibration_images
from shvit_mobile.bench.chart import choose_tick_step, render_latency_chart
from shvit_mobile.bench.contestant import create_subject
from shvit_mobile.bench.host import describe_host
from shvit_mobile.bench.macs import count_macs
from shvit_mobile.bench.statistics import compute_speed_ratio, summarize_latency
from shvit_mobile.bench.stock import export_onnx_fp32, export_xnnpack, quantize_onnx
from shvit_mobile.contracts.device_report import DeviceInfo, DeviceReport, DeviceResult
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.demo import CALIBRATION_IMAGES
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.errors import BadReport, InvalidValue, MissingParameter
from shvit_mobile.families.checkpoints import load_checkpoint, save_checkpoint
from shvit_mobile.families.shvit import create_shvit
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.runtimes.executorch import load_program
from shvit_mobile.targets.onnx import ONNXOptions
from shvit_mobile.targets.pte import inspect_program
from tests.bench.builders import QUICK
from tests.builders import build_random_shvit, build_trained_model
from tests.programs import SMALL, lower_program

# From the paper's table, which rounds to millions.
PAPER = [("shvit_s1", 224, 241), ("shvit_s2", 224, 366), ("shvit_s3", 224, 601), ("shvit_s4", 256, 986)]


@pytest.mark.parametrize(("variant", "size", "millions"), PAPER)
def test_multiply_adds_are_the_papers(variant: str, size: int, millions: int) -> None:
    assert count_macs(create_shvit(variant), (1, 3, size, size)) / 1e6 == pytest.approx(millions, abs=1)


def test_counting_leaves_the_model_as_it_is() -> None:
    model = build_random_shvit().train()
    count_macs(model, (1, 3, 64, 64))
    assert model.training
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


def test_an_artifact_and_its_peers_in_one_report(tmp_path: Path) -> None:
    checkpoint = tmp_path / "small.safetensors"
    save_checkpoint(build_trained_model(build_random_shvit(SMALL), size=(64, 48)), checkpoint)
    model = load_checkpoint(checkpoint)
    artifact = lower(to_deploy_form(model), Recipe(precision="fp32"), "onnx", tmp_path)
    found = run_benchmark(
        [artifact],
        settings=QUICK,
        peer_checkpoint=model,
        engines=("onnxruntime", "torch"),
        calibration=CALIBRATION_IMAGES,
        roofs=False,
    )
    assert not found.skipped
    report = found.report
    assert [result.name for result in report.results] == [
        artifact.path.name,
        "PyTorch",
        "ONNX Runtime stock fp32",
        "ONNX Runtime stock int8",
    ]
    first, *others = report.results
    assert first.artifact_sha256 == artifact.manifest.artifact.sha256
    assert first.ratio is None
    assert all(other.ratio and other.ratio.value > 0 and other.artifact_sha256 is None for other in others)
    assert report.device == describe_host()
    path = tmp_path / "report.json"
    path.write_text(report.to_json(), encoding="utf-8")
    assert DeviceReport.load(path) == report


def test_an_executorch_program_is_timed_without_log_lines(capfd: pytest.CaptureFixture[str]) -> None:
    lowered = lower_program("fp32")
    capfd.readouterr()
    report = run_benchmark([lowered.artifact], settings=QUICK, roofs=False).report
    assert report.results[0].engine == "executorch"
    assert report.results[0].latency.samples == QUICK.rounds * QUICK.iterations
    assert capfd.readouterr() == ("", "")


def test_there_has_to_be_something_to_measure() -> None:
    with pytest.raises(MissingParameter) as refused:
        run_benchmark(settings=QUICK)
    assert refused.value.parameter == "artifacts"


def test_stock_quantizers_need_calibration_images() -> None:
    with pytest.raises(MissingParameter) as refused:
        run_benchmark(settings=QUICK, models=["resnet18"])
    assert refused.value.parameter == "calibration"


def test_a_batch_that_an_artifact_does_not_take(tmp_path: Path) -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(SMALL), size=(64, 48)))
    fixed = lower(deployed, Recipe(precision="fp32"), "onnx", tmp_path, options=ONNXOptions(dynamic_batch=False))
    with pytest.raises(InvalidValue) as refused:
        create_subject(fixed, batch=4)
    assert refused.value.parameter == "batch"
    free = lower(deployed, Recipe(precision="fp32"), "onnx", tmp_path / "free")
    assert create_subject(free, batch=4).shape == (4, 3, 64, 48)


def test_stock_exports_compute_what_the_model_does(tmp_path: Path) -> None:
    import onnxruntime

    model = build_random_shvit(SMALL)
    images = list(torch.randn(4, 3, 64, 48, generator=torch.Generator().manual_seed(0)).split(1))
    with torch.no_grad():
        expected = model(images[0])
    fp32 = export_onnx_fp32(model, (1, 3, 64, 48), tmp_path)
    for path, tolerance in ((fp32, 1e-4), (quantize_onnx(fp32, images, tmp_path), 1.0)):
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        actual = torch.from_numpy(session.run(None, {"images": images[0].numpy()})[0])
        torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)
    assert not torch.allclose(actual, expected, atol=1e-4), "int8 after all"


@pytest.mark.slow
def test_stock_programs_fall_into_many_delegates(tmp_path: Path) -> None:
    model = build_random_shvit(SMALL)
    images = list(torch.randn(4, 3, 64, 48, generator=torch.Generator().manual_seed(0)).split(1))
    for precision in ("fp32", "int8"):
        made = export_xnnpack(model, images, tmp_path / f"{precision}.pte", precision)
        assert inspect_program(made).delegation.delegates > 1
        _, method = load_program(made)
        assert torch.allclose(method.execute([images[0]])[0], model(images[0]), atol=1.0)
    assert inspect_program(tmp_path / "int8.pte").inventory.quantized_layers > 10


def test_calibration_images_are_normalised_pictures_of_the_size() -> None:
    images = load_calibration_inputs(sample_calibration_images(CALIBRATION_IMAGES), Preprocessing(size=(40, 56)))
    assert len(images) == 4
    assert {tuple(image.shape) for image in images} == {(1, 3, 40, 56)}
    assert all(0.3 < float(image.std()) < 3 for image in images)


def build_result(name: str, samples: tuple[float, ...], precision: str = "fp32") -> DeviceResult:
    return DeviceResult(
        name=name,
        engine="executorch",
        precision=precision,
        load_ms=1,
        first_ms=1,
        latency=summarize_latency(samples),
        samples_ms=(samples,),
        ratio=compute_speed_ratio([2.0] * len(samples), samples),
    )


def test_a_chart_is_one_svg_with_a_bar_for_each() -> None:
    report = DeviceReport(
        created="2026-01-01T00:00:00+00:00",
        app="a test",
        versions={},
        device=DeviceInfo(kind="host", model="<processor> & co.", system="none", cores=1),
        settings=QUICK,
        results=(build_result("plain", (1.0, 1.5, 4.0)), build_result("a <b>", (0.5, 0.6, 0.7), "int8")),
    )
    tree = ElementTree.fromstring(render_latency_chart(report))
    space = "{http://www.w3.org/2000/svg}"
    texts = "".join(tree.itertext())
    assert "a <b>" in texts
    assert "<processor> & co." in texts
    bars = [bar for bar in tree.iter(f"{space}rect") if bar.get("rx")]
    widths = [float(bar.get("width") or 0) for bar in bars]
    assert widths[0] / widths[1] == pytest.approx(1.5 / 0.6, rel=0.01)
    assert len({bar.get("fill") for bar in bars}) == 2


@pytest.mark.parametrize("most", [0.011, 0.4, 1.0, 3.7, 10.0, 99.0, 1234.0])
def test_ticks_divide_the_axis_into_a_few_parts(most: float) -> None:
    assert 4 <= most / choose_tick_step(most) <= 10


@pytest.mark.parametrize("text", ["", "{}", '{"kind": "recipe"}'])
def test_what_is_no_report_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadReport, match="is not a device report"):
        DeviceReport.load(path)

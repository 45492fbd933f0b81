"""Measures artifacts, stock exports of a checkpoint and timm models side by side, as a device report."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from shvit_mobile.bench.contestant import BenchmarkSubject, Engine, create_subject
from shvit_mobile.bench.host import describe_host
from shvit_mobile.bench.interleave import build_results, find_rooflines, run_interleaved
from shvit_mobile.bench.stock import export_stock_peers
from shvit_mobile.bench.timm_models import create_timm_module
from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.device_report import BenchmarkSettings, DeviceReport
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import BenchmarkFailed, MissingParameter
from shvit_mobile.families.checkpoints import save_checkpoint
from shvit_mobile.progress import StepCallback
from shvit_mobile.versions import format_measured_by, get_package_versions, get_timestamp

if TYPE_CHECKING:
    from shvit_mobile.contracts.paths import AnyPath
    from shvit_mobile.families.trained_model import TrainedModel
    from shvit_mobile.images.image_set import ImageSet

_PACKAGES = (
    *("shvit-mobile", "torch", "executorch", "onnxruntime", "coremltools"),
    *("openvino", "MNN", "ai-edge-litert", "litert-torch", "timm"),
)
# Enough for plausible ranges; accuracy does not affect latency.
CALIBRATION_COUNT = 4


@dataclass(frozen=True)
class _BenchmarkOutcome:
    """The report, and a sentence about each contestant that could not run."""

    report: DeviceReport
    skipped: tuple[str, ...]


def run_benchmark(
    artifacts: Sequence[Artifact] = (),
    *,
    settings: BenchmarkSettings,
    peer_checkpoint: TrainedModel | None = None,
    models: Sequence[str] = (),
    engines: Sequence[Engine] = (),
    calibration: AnyPath | ImageSet | None = None,
    roofs: bool = True,
    progress: StepCallback | None = None,
) -> _BenchmarkOutcome:
    """Measure all contestants on this machine, interleaved, and compare each with the first.

    Args:
        artifacts: Artifacts of any target that runs here.
        settings: Threads, batch, rounds and so on.
        peer_checkpoint: A checkpoint whose stock exports are measured too.
        models: Names of timm models whose stock exports are measured too.
        engines: The engines for peers and models (default: all that are installed).
        calibration: Images on which stock quantizers calibrate peers and models.
        roofs: Whether to measure the machine's rooflines, and each contestant's share of them (default: True).
        progress: Called with the step, what is done of it, and how much there is in all.

    Raises:
        MissingParameter: If there is nothing to measure, or `calibration` is needed.
        InvalidValue: If an artifact takes another batch.
        ToolMissing: If an artifact's engine is not installed here.
        BenchmarkFailed: If an artifact does not load or run, or no contestant does.
    """
    report_step = progress or (lambda *_: None)
    if not (artifacts or peer_checkpoint or models):
        raise MissingParameter(
            "There is nothing to benchmark.",
            hint="Give artifacts, `peer_checkpoint`, or `models`.",
            parameter="artifacts",
        )
    if (peer_checkpoint or models) and calibration is None:
        raise MissingParameter(
            "`calibration` is missing.", why="Stock quantizers need images.", parameter="calibration"
        )
    images = None if calibration is None else sample_calibration_images(calibration)
    own = _disambiguate_names([create_subject(artifact, settings.batch) for artifact in artifacts])
    with TemporaryDirectory() as folder:
        peers = []
        if images and (peer_checkpoint or models):
            report_step("Exporting the peers", 0, 1)
            peers += export_checkpoint_peers(peer_checkpoint, images, Path(folder), settings.batch, engines)
            peers += _export_timm_peers(models, images, Path(folder), settings, engines)
        if not own and not peers:
            raise BenchmarkFailed(
                "No contestant could take part.", why="None of the engines for peers and models is installed."
            )
        products = []
        if roofs:
            from shvit_mobile.bench.roofline import build_roofline_subjects  # needs ONNX

            products = build_roofline_subjects(Path(folder))
        optional = frozenset(subject.name for subject in (*peers, *products))
        run = run_interleaved(
            [*own, *peers, *products], settings, optional=optional, progress=lambda *at: report_step("Measuring", *at)
        )
        rooflines = find_rooflines([one for one in run.runs if one.subject in products])
        results = build_results([one for one in run.runs if one.subject not in products], settings, rooflines)
    absent = tuple(f"{subject.name} did not take part: {why}" for subject, why in run.skipped)
    if not results:
        raise BenchmarkFailed("No contestant could take part.", why=" ".join(absent))
    report = DeviceReport(
        created=get_timestamp(),
        app=format_measured_by("benchmark"),
        versions=get_package_versions(*_PACKAGES),
        device=describe_host(),
        settings=settings.model_copy(update={"timed": "runtime-call"}),
        roofs=rooflines,
        results=results,
    )
    return _BenchmarkOutcome(report, absent)


def _disambiguate_names(subjects: list[BenchmarkSubject]) -> list[BenchmarkSubject]:
    """Return the subjects, with the whole path as the name of those that share a file name."""
    names = [subject.name for subject in subjects]
    return [replace(one, name=one.source) if names.count(one.name) > 1 else one for one in subjects]


def export_checkpoint_peers(
    trained: TrainedModel | None,
    images: ImageSet,
    folder: Path,
    batch: int,
    engines: Sequence[Engine],
) -> list[BenchmarkSubject]:
    """Export a checkpoint with stock exporters, at its input size."""
    if trained is None:
        return []
    out = folder / "peers"
    out.mkdir()
    source = out / "checkpoint.safetensors"
    save_checkpoint(trained, source)
    model = trained.family.reparameterize(deepcopy(trained.model).float().eval())
    inputs = load_calibration_inputs(images, trained.preprocessing)
    return export_stock_peers(model, inputs, out, str(source), batch=batch, engines=engines)


def _export_timm_peers(
    models: Sequence[str], images: ImageSet, folder: Path, settings: BenchmarkSettings, engines: Sequence[Engine]
) -> list[BenchmarkSubject]:
    """Export timm models with stock exporters, each at its default input size."""
    peers: list[BenchmarkSubject] = []
    for name in models:
        module: Any = create_timm_module(name)
        _, height, width = module.default_cfg["input_size"]
        out = folder / name.replace("/", "_")
        out.mkdir()
        inputs = load_calibration_inputs(images, Preprocessing(size=(height, width)))
        peers += export_stock_peers(
            module, inputs, out, f"timm:{name}", batch=settings.batch, engines=engines, prefix=f"{name}, "
        )
    return peers


def sample_calibration_images(calibration: AnyPath | ImageSet) -> ImageSet:
    """Return a few of the images."""
    from shvit_mobile.images.image_set import ImageSet, open_images

    images = calibration if isinstance(calibration, ImageSet) else open_images(calibration)
    return images.sample(CALIBRATION_COUNT, 0)


def load_calibration_inputs(images: ImageSet, preprocessing: Preprocessing) -> list[torch.Tensor]:
    """Return the images as normalised tensors, each of shape (1, 3, height, width)."""
    from shvit_mobile.images.batches import iterate_batches

    pixels = np.concatenate([batch.pixels for batch in iterate_batches(images, preprocessing)])
    return [torch.from_numpy(image[None]) for image in preprocessing.normalize(pixels)]

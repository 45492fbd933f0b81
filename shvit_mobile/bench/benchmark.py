"""The benchmark: artifacts, the peers of their checkpoint and models from elsewhere in one race, as a device report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch

from shvit_mobile.bench.contestant import BenchmarkSubject, Engine, create_subject
from shvit_mobile.bench.host import describe_host
from shvit_mobile.bench.interleave import build_results, find_rooflines, run_interleaved
from shvit_mobile.bench.roofline import build_roofline_subjects
from shvit_mobile.bench.stock import export_stock_peers
from shvit_mobile.bench.timm_models import create_timm_model
from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.device_report import BenchmarkSettings, DeviceReport
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import BenchmarkFailed, InvalidConfig
from shvit_mobile.families.checkpoints import save_checkpoint
from shvit_mobile.versions import format_measured_by, get_package_versions, get_timestamp

if TYPE_CHECKING:
    from shvit_mobile.families.trained_model import TrainedModel

ProgressCallback = Callable[[str, int, int], None]
PACKAGES = (
    *("shvit-mobile", "torch", "executorch", "onnxruntime", "coremltools"),
    *("openvino", "MNN", "ai-edge-litert", "litert-torch", "timm"),
)
# Enough to give a stock quantizer plausible ranges; how accurate it then is does not matter to a clock.
CALIBRATION_COUNT = 4


@dataclass(frozen=True)
class BenchmarkOutcome:
    """The report, and a sentence on each contestant that could not take part."""

    report: DeviceReport
    skipped: tuple[str, ...]


def run_benchmark(
    artifacts: Sequence[Artifact] = (),
    *,
    settings: BenchmarkSettings,
    peer_checkpoint: TrainedModel | None = None,
    models: Sequence[str] = (),
    engines: Sequence[Engine] = (),
    roofs: bool = True,
    progress: ProgressCallback | None = None,
) -> BenchmarkOutcome:
    """Measures everything in one interleaved race on this machine; the first is what others are compared with.

    Args:
        artifacts: of any target that runs here.
        settings: threads, batch, rounds and the like.
        peers_of: a checkpoint whose stock exports take part.
        models: names of timm models whose stock exports take part.
        engines: the only ones to use for peers and models; all that are installed if empty.
        roofs: also find the machine's roofs, and say which share of them each reaches.
        told: called with what is done, and how far it is.

    Raises:
        InvalidConfig: there is nothing to measure, or an artifact takes another batch.
        ToolMissing: an artifact's engine is not installed here.
        BenchmarkFailed: an artifact does not load or run, or nothing that was wanted does.
    """
    say = progress or (lambda *_: None)
    own = disambiguate_names([create_subject(artifact, settings.batch) for artifact in artifacts])
    with TemporaryDirectory() as folder:
        say("Making the peers", 0, 1)
        peers = export_checkpoint_peers(peer_checkpoint, Path(folder), settings, engines)
        peers += export_timm_peers(models, Path(folder), settings, engines)
        if not own and not peers:
            raise InvalidConfig(
                "There is nothing to benchmark.", hint="Give artifacts, --peers, or --models mobilevitv2_100."
            )
        products = build_roofline_subjects(Path(folder)) if roofs else []
        optional = frozenset(subject.name for subject in (*peers, *products))
        run = run_interleaved(
            [*own, *peers, *products], settings, optional=optional, progress=lambda *at: say("Measuring", *at)
        )
        found = find_rooflines([one for one in run.runs if one.subject in products])
        results = build_results([one for one in run.runs if one.subject not in products], settings, found)
    absent = tuple(f"{subject.name} did not take part: {why}" for subject, why in run.skipped)
    if not results:
        raise BenchmarkFailed("No contestant could take part.", why=" ".join(absent))
    report = DeviceReport(
        created=get_timestamp(),
        app=format_measured_by("benchmark"),
        versions=get_package_versions(*PACKAGES),
        device=describe_host(),
        settings=settings,
        roofs=found,
        results=results,
    )
    return BenchmarkOutcome(report, absent)


def disambiguate_names(subjects: list[BenchmarkSubject]) -> list[BenchmarkSubject]:
    """The subjects, those that share a file name with another under their whole path."""
    names = [subject.name for subject in subjects]
    return [replace(one, name=one.source) if names.count(one.name) > 1 else one for one in subjects]


def export_checkpoint_peers(
    trained: TrainedModel | None, folder: Path, settings: BenchmarkSettings, engines: Sequence[Engine]
) -> list[BenchmarkSubject]:
    """The stock exports of a checkpoint, at its size."""
    if trained is None:
        return []
    place = folder / "peers"
    place.mkdir()
    source = place / "checkpoint.safetensors"
    save_checkpoint(trained, source)
    model = deepcopy(trained.model).float().eval()
    return export_stock_peers(
        model, load_calibration_images(trained.preprocessing), place, str(source), batch=settings.batch, engines=engines
    )


def export_timm_peers(
    models: Sequence[str], folder: Path, settings: BenchmarkSettings, engines: Sequence[Engine]
) -> list[BenchmarkSubject]:
    """The stock exports of timm models, each at the size it is made for."""
    found: list[BenchmarkSubject] = []
    for name in models:
        there = create_timm_model(name)
        place = folder / name.replace("/", "_")
        place.mkdir()
        images = load_calibration_images(Preprocessing(size=there.size))
        found += export_stock_peers(
            there.module, images, place, f"timm:{name}", batch=settings.batch, engines=engines, prefix=f"{name}, "
        )
    return found


def load_calibration_images(preprocessing: Preprocessing) -> list[torch.Tensor]:
    """A few of the embedded photographs, as a model of this preprocessing sees them: normalised, (1, 3, h, w) each."""
    from shvit_mobile.demo import CALIBRATION_IMAGES as FOLDER
    from shvit_mobile.images.batches import iterate_batches
    from shvit_mobile.images.image_set import open_images

    chosen = open_images(FOLDER).sample(CALIBRATION_COUNT, 0)
    pixels = np.concatenate([batch.pixels for batch in iterate_batches(chosen, preprocessing)])
    return [torch.from_numpy(image[None]) for image in preprocessing.normalize(pixels)]

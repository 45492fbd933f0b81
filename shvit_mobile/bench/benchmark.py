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

from shvit_mobile.bench.contestant import Engine, Subject, subject_of
from shvit_mobile.bench.host import host
from shvit_mobile.bench.interleave import race, results_of, roofs_of
from shvit_mobile.bench.roofline import roof_subjects
from shvit_mobile.bench.stock import stock_peers
from shvit_mobile.bench.timm_models import contender
from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.device_report import DeviceReport, Settings
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import BenchmarkFailed, WrongConfig
from shvit_mobile.families.checkpoints import save_checkpoint
from shvit_mobile.versions import measured_by, now, versions

if TYPE_CHECKING:
    from shvit_mobile.families.trained_model import TrainedModel

Told = Callable[[str, int, int], None]
PACKAGES = (
    *("shvit-mobile", "torch", "executorch", "onnxruntime", "coremltools"),
    *("openvino", "MNN", "ai-edge-litert", "litert-torch", "timm"),
)
# Enough to give a stock quantizer plausible ranges; how accurate it then is does not matter to a clock.
CALIBRATION_IMAGES = 4


@dataclass(frozen=True)
class Benchmarked:
    """The report, and a sentence on each contestant that could not take part."""

    report: DeviceReport
    absent: tuple[str, ...]


def benchmark(
    artifacts: Sequence[Artifact] = (),
    *,
    settings: Settings,
    peers_of: TrainedModel | None = None,
    models: Sequence[str] = (),
    engines: Sequence[Engine] = (),
    roofs: bool = True,
    told: Told | None = None,
) -> Benchmarked:
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
        WrongConfig: there is nothing to measure, or an artifact takes another batch.
        ToolMissing: an artifact's engine is not installed here.
        BenchmarkFailed: an artifact does not load or run, or nothing that was wanted does.
    """
    say = told or (lambda *_: None)
    own = told_apart([subject_of(artifact, settings.batch) for artifact in artifacts])
    with TemporaryDirectory() as folder:
        say("Making the peers", 0, 1)
        peers = checkpoint_peers(peers_of, Path(folder), settings, engines)
        peers += model_peers(models, Path(folder), settings, engines)
        if not own and not peers:
            raise WrongConfig(
                "There is nothing to benchmark.", hint="Give artifacts, --peers, or --models mobilevitv2_100."
            )
        products = roof_subjects(Path(folder)) if roofs else []
        optional = frozenset(subject.name for subject in (*peers, *products))
        run = race([*own, *peers, *products], settings, optional=optional, progress=lambda *at: say("Measuring", *at))
        found = roofs_of([one for one in run.runs if one.subject in products])
        results = results_of([one for one in run.runs if one.subject not in products], settings, found)
    absent = tuple(f"{subject.name} did not take part: {why}" for subject, why in run.absent)
    if not results:
        raise BenchmarkFailed("No contestant could take part.", why=" ".join(absent))
    report = DeviceReport(
        created=now(),
        app=measured_by("benchmark"),
        versions=versions(*PACKAGES),
        device=host(),
        settings=settings,
        roofs=found,
        results=results,
    )
    return Benchmarked(report, absent)


def told_apart(subjects: list[Subject]) -> list[Subject]:
    """The subjects, those that share a file name with another under their whole path."""
    names = [subject.name for subject in subjects]
    return [replace(one, name=one.source) if names.count(one.name) > 1 else one for one in subjects]


def checkpoint_peers(
    trained: TrainedModel | None, folder: Path, settings: Settings, engines: Sequence[Engine]
) -> list[Subject]:
    """The stock exports of a checkpoint, at its size."""
    if trained is None:
        return []
    place = folder / "peers"
    place.mkdir()
    source = place / "checkpoint.safetensors"
    save_checkpoint(trained, source)
    model = deepcopy(trained.model).float().eval()
    return stock_peers(
        model, calibration(trained.preprocessing), place, str(source), batch=settings.batch, engines=engines
    )


def model_peers(models: Sequence[str], folder: Path, settings: Settings, engines: Sequence[Engine]) -> list[Subject]:
    """The stock exports of timm models, each at the size it is made for."""
    found: list[Subject] = []
    for name in models:
        there = contender(name)
        place = folder / name.replace("/", "_")
        place.mkdir()
        images = calibration(Preprocessing(size=there.size))
        found += stock_peers(
            there.module, images, place, f"timm:{name}", batch=settings.batch, engines=engines, prefix=f"{name}, "
        )
    return found


def calibration(preprocessing: Preprocessing) -> list[torch.Tensor]:
    """A few of the embedded photographs, as a model of this preprocessing sees them: normalised, (1, 3, h, w) each."""
    from shvit_mobile.demo import CALIBRATION_IMAGES as FOLDER
    from shvit_mobile.images.batches import batches
    from shvit_mobile.images.image_set import open_images

    chosen = open_images(FOLDER).sample(CALIBRATION_IMAGES, 0)
    pixels = np.concatenate([batch.pixels for batch in batches(chosen, preprocessing)])
    return [torch.from_numpy(image[None]) for image in preprocessing.normalised(pixels)]

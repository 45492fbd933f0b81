"""Measures the drift of each layer: where the artifact diverges from the float model, and which layer causes it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_report import LayerDrift, LayerReport
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.deploy.activations import Activation
from shvit_mobile.deploy.call_values import CallRecorder
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.drift.compare import check_origin
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.batches import iterate_batches
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.metrics import compute_ratio_db
from shvit_mobile.progress import ProgressCallback
from shvit_mobile.quantize.overrides import apply_equalization, load_artifact_overrides
from shvit_mobile.runtimes.probes.protocols import PointLocation
from shvit_mobile.runtimes.probes.registry import open_activation_probe

# A layer below this SQNR in dB has diverged: well below what each precision gives a correct layer.
_DIVERGENCE_THRESHOLDS_DB: dict[Precision, float] = {"fp32": 90.0, "fp16": 40.0}
_QUANTIZED_THRESHOLD_DB = 15.0


def compare_layers(
    artifact: Artifact,
    trained: TrainedModel,
    images: ImageSet,
    *,
    threshold_db: float | None = None,
    progress: ProgressCallback | None = None,
) -> LayerReport:
    """Compare every layer of `artifact` with the float model's, free-running and teacher-forced.

    Args:
        artifact: An artifact for Core ML, which the reference executor runs, for ONNX, LiteRT or Core AI.
        trained: The checkpoint from which it was exported.
        images: A few dozen are enough: every layer is compared in all its values.
        threshold_db: Below this, a layer has diverged (default: 90 dB for fp32, 40 for fp16, 15 for others).
        progress: Called with the files done and all files.

    Raises:
        BadArtifact: If it was exported from another checkpoint, is damaged, or its layers are not the checkpoint's.
        BadImages: If no image can be decoded.
        NotSupported: If the values inside artifacts of this target cannot be observed.
    """
    check_origin(artifact, trained)
    manifest = artifact.manifest
    folded = to_deploy_form(
        replace(trained, preprocessing=manifest.preprocessing), normalise=manifest.input.values == "pixels"
    )
    deployed = apply_equalization(folded, manifest.recipe, load_artifact_overrides(artifact))
    probe = open_activation_probe(artifact, deployed.wiring.calls)
    # int8 may spend no steps on what an activation makes alike, and is compared behind it.
    behind = [place.point.activation if manifest.precision == "int8" else None for place in probe.locations]
    free, forced = ([_SQNRAccumulator(activation) for activation in behind] for _ in range(2))
    count, recorder = 0, CallRecorder(deployed.module, torch.zeros(1, 3, *manifest.preprocessing.size))
    for image in iterate_single_images(images, manifest.preprocessing, progress):
        expected = _compute_expected_values(recorder, deployed.prepare(image), probe.locations)
        _accumulate_layers(free, expected, probe.run_free(image))
        _accumulate_layers(forced, expected, probe.run_teacher_forced(image, expected))
        count += 1
    rows = tuple(
        LayerDrift(layer=place.point.name, kind=place.point.kind, free_db=own.sqnr_db, forced_db=alone.sqnr_db)
        for place, own, alone in zip(probe.locations, free, forced, strict=True)
    )
    if threshold_db is None:
        threshold_db = _DIVERGENCE_THRESHOLDS_DB.get(manifest.precision, _QUANTIZED_THRESHOLD_DB)
    return LayerReport(
        artifact=artifact.path.name,
        target=manifest.target,
        precision=manifest.precision_name,
        engine=probe.engine,
        images=count,
        threshold_db=threshold_db,
        rows=rows,
        first=next((row.layer for row in rows if row.free_db < threshold_db), None),
        worst=_select_worst_layers(rows, threshold_db),
    )


def _select_worst_layers(rows: Sequence[LayerDrift], threshold: float, minimum: int = 3) -> tuple[str, ...]:
    """Return the layers with the lowest teacher-forced SQNR: all below the threshold, and at least `minimum`."""
    ordered = sorted(rows, key=lambda row: row.forced_db)
    below = sum(row.forced_db < threshold for row in rows)
    return tuple(row.layer for row in ordered[: max(below, minimum)])


@dataclass
class _SQNRAccumulator:
    """Signal and noise summed over images, in float64, behind an activation."""

    activation: Activation | None = None
    signal: float = 0.0
    noise: float = 0.0

    def update(self, reference: Tensor, actual: Tensor) -> None:
        exact, own = reference.double(), actual.double()
        if self.activation is not None:
            exact, own = self.activation(exact), self.activation(own)
        self.signal += float(exact.square().sum())
        self.noise += float((exact - own).square().sum())

    @property
    def sqnr_db(self) -> float:
        return compute_ratio_db(self.signal, self.noise)


def _accumulate_layers(
    ratios: Sequence[_SQNRAccumulator], expected: Mapping[str, Tensor], actual: Mapping[str, Tensor]
) -> None:
    """Add one image to every layer's ratio; the ratios are in the order of `expected`."""
    for ratio, (name, reference) in zip(ratios, expected.items(), strict=True):
        ratio.update(reference, actual[name])


def _compute_expected_values(
    recorder: CallRecorder, image: Tensor, locations: Sequence[PointLocation]
) -> dict[str, Tensor]:
    """Compute the float model's value at each location."""
    values = recorder.run(image, scaled={place.point.name for place in locations if place.scaled})
    return {
        place.point.name: values[place.point.name].clamp(*place.limits) if place.limits else values[place.point.name]
        for place in locations
    }


def iterate_single_images(
    images: ImageSet, preprocessing: Preprocessing, progress: ProgressCallback | None
) -> Iterator[NDArray[np.uint8]]:
    """Yield the pixels of the images one by one, shape (1, height, width, 3): programs take a batch of one."""
    for batch in iterate_batches(images, preprocessing, size=8, progress=progress):
        for index in range(len(batch.pixels)):
            yield batch.pixels[index : index + 1]

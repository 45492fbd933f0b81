"""Measures the range of every intermediate value and finds those that overflow or vanish in fp16.

fp16 overflows without an error. If the square inside a norm becomes infinite, the branch becomes x / inf, which is zero
and not NaN: attention has no effect, and the logits look normal. Only the values themselves show it. Each is therefore
computed twice: in float32, and rounded to fp16 at every step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf, log2

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_report import RangeReport, ValueRange
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.drift.compare import check_origin
from shvit_mobile.drift.layer_drift import iterate_single_images
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.progress import ProgressCallback
from shvit_mobile.runtimes.probes.protocols import ActivationObserver, ObservedValue
from shvit_mobile.runtimes.probes.registry import open_activation_observer

# The largest number of fp16, its smallest normal number, and the limit below which it rounds to zero (IEEE 754).
FP16_MAX, FP16_MIN_NORMAL, FP16_ZERO_LIMIT = 65504.0, 2.0**-14, 2.0**-25
# A value is silent if less than this share of its magnitude remains. Values of few elements may be near zero by chance.
SILENT_SHARE, MIN_ELEMENTS = 1e-3, 16


def measure_ranges(
    artifact: Artifact, trained: TrainedModel, images: ImageSet, *, progress: ProgressCallback | None = None
) -> RangeReport:
    """Measure the range of every float value of `artifact` over `images`, and compare it with the range of fp16.

    The reference executor runs a Core ML program. The values of other artifacts are not visible, or in float32 or int8,
    which do not overflow; for them the report describes the float model in its deploy form, rounded to fp16.

    Args:
        artifact: The artifact.
        trained: The checkpoint from which it was exported.
        images: The images; more images find larger values.
        progress: Called with the files done and all files.

    Raises:
        BadArtifact: If it was exported from another checkpoint, is damaged, or its layers are not the checkpoint's.
        BadImages: If no image can be decoded.
    """
    check_origin(artifact, trained)
    deployed = to_deploy_form(
        replace(trained, preprocessing=artifact.manifest.preprocessing),
        normalise=artifact.manifest.input.values == "pixels",
    )
    observer = open_activation_observer(artifact, deployed, deployed.wiring.calls)
    known: dict[ObservedValue, _RangeAccumulator] = {}
    count = 0
    for image in iterate_single_images(images, artifact.manifest.preprocessing, progress):
        _observe_image(observer, image, known)
        count += 1
    in_order = [extent.to_value_range(value) for value, extent in known.items()]
    return RangeReport(
        artifact=artifact.path.name,
        engine=observer.engine,
        computes_in_half=observer.computes_in_fp16,
        images=count,
        values=tuple(sorted(in_order, key=lambda row: -row.largest)),
        flags=(
            *_describe_overflows(in_order),
            *_describe_non_finite(in_order, count),
            *_describe_silent_layers(in_order, count),
        ),
        notes=(*_describe_large_sums(in_order), *_describe_subnormals(in_order)),
    )


def _observe_image(
    observer: ActivationObserver, image: NDArray[np.uint8], known: dict[ObservedValue, _RangeAccumulator]
) -> None:
    """Add one image: its values in float32, then in fp16."""
    sizes: dict[ObservedValue, float] = {}

    def exact(value: ObservedValue, tensor: Tensor) -> None:
        known.setdefault(value, _RangeAccumulator()).update(tensor)
        if value.part is None and tensor.numel() >= MIN_ELEMENTS:
            sizes[value] = _compute_rms(tensor)

    def half(value: ObservedValue, tensor: Tensor) -> None:
        if value.part is not None:
            return
        if not bool(torch.isfinite(tensor).all()):
            known[value].not_finite += 1
        elif sizes.get(value, 0.0) >= FP16_MIN_NORMAL and _compute_rms(tensor) < SILENT_SHARE * sizes[value]:
            known[value].silent += 1

    observer.run(image, exact, round_to_fp16=False)
    observer.run(image, half, round_to_fp16=True)


@dataclass
class _RangeAccumulator:
    """The range of a value over images."""

    size: int = 0
    largest: float = 0.0
    smallest_peak: float = inf
    elements: int = 0
    subnormal: int = 0
    vanished: int = 0
    not_finite: int = 0
    silent: int = 0

    def update(self, tensor: Tensor) -> None:
        magnitudes, self.size = tensor.abs(), tensor.numel()
        peak = float(magnitudes.max())
        self.largest, self.smallest_peak = max(self.largest, peak), min(self.smallest_peak, peak)
        nonzero = magnitudes > 0
        self.elements += int(nonzero.sum())
        self.subnormal += int((nonzero & (magnitudes < FP16_MIN_NORMAL)).sum())
        self.vanished += int((nonzero & (magnitudes < FP16_ZERO_LIMIT)).sum())

    def to_value_range(self, value: ObservedValue) -> ValueRange:
        return ValueRange(
            layer=value.layer,
            operator=value.operator,
            value=value.name,
            part=value.part,
            size=self.size,
            largest=self.largest,
            headroom_bits=log2(FP16_MAX / self.largest) if self.largest else inf,
            smallest_peak=self.smallest_peak,
            subnormal=self.subnormal / max(self.elements, 1),
            vanished=self.vanished / max(self.elements, 1),
            not_finite=self.not_finite,
            silent=self.silent,
        )


def _compute_rms(tensor: Tensor) -> float:
    return float(tensor.square().mean().sqrt())


def _describe_overflows(rows: Sequence[ValueRange]) -> list[str]:
    """Describe each layer with values, or squares inside a norm, above the largest number of fp16."""
    outputs = [row for row in rows if row.part is None and row.largest > FP16_MAX]
    squares = [row for row in rows if row.part == "squares" and row.largest > FP16_MAX]
    return [
        f"{row.layer}: {row.operator} reaches {row.largest:.3g}, {row.largest / FP16_MAX:.2g} times what fp16 holds."
        for row in _select_largest_by_layer(outputs)
    ] + [
        f"{row.layer}: the squares inside {row.operator} reach {row.largest:.3g}, {row.largest / FP16_MAX:.2g} times "
        "what fp16 holds. A kernel that squares in fp16 overflows and returns zero; run it on the device to know."
        for row in _select_largest_by_layer(squares)
    ]


def _describe_non_finite(rows: Sequence[ValueRange], images: int) -> list[str]:
    """Describe the first value that is infinite or NaN in fp16."""
    broken = [row for row in rows if row.not_finite]
    if not broken:
        return []
    first = broken[0]
    return [
        f"{first.layer}: in fp16 {first.operator} is infinite or NaN for {first.not_finite} of {images} images; "
        f"{len(broken)} values are, this is the first."
    ]


def _describe_silent_layers(rows: Sequence[ValueRange], images: int) -> list[str]:
    """Describe each layer whose value vanishes in fp16."""
    return [
        f"{row.layer}: silent in fp16 for {row.silent} of {images} images: {row.operator} becomes zero, or "
        "nearly zero, without an error."
        for row in _select_first_by_layer(row for row in rows if row.silent)
    ]


def _describe_large_sums(rows: Sequence[ValueRange]) -> list[str]:
    """Describe sums that need a wider accumulator than fp16."""
    large = [row for row in rows if row.part == "sum" and row.largest > FP16_MAX]
    if not large:
        return []
    worst = max(large, key=lambda row: row.largest)
    return [
        f"{len(large)} operators compute sums above what fp16 holds, the largest {worst.largest:.3g} inside "
        f"{worst.operator} of {worst.layer}. A kernel that sums in float32, or divides first, is safe; one that sums "
        "in fp16 overflows."
    ]


def _describe_subnormals(rows: Sequence[ValueRange]) -> list[str]:
    """Describe values that are, for at least one image, entirely below the normal numbers of fp16."""
    outputs = [row for row in rows if row.part is None and row.size >= MIN_ELEMENTS]
    small = [row for row in outputs if 0 < row.smallest_peak < FP16_MIN_NORMAL]
    if not small:
        return []
    first = small[0]
    return [
        f"{len(small)} values are below {FP16_MIN_NORMAL:.2g} for some image, where fp16 has fewer digits and some "
        f"devices round to zero; the first is {first.operator} of {first.layer}, at most {first.smallest_peak:.2g}."
    ]


def _select_largest_by_layer(rows: Iterable[ValueRange]) -> list[ValueRange]:
    """Return the largest of each layer, in the order of the data."""
    chosen: dict[str, ValueRange] = {}
    for row in rows:
        if row.layer not in chosen or row.largest > chosen[row.layer].largest:
            chosen[row.layer] = row
    return list(chosen.values())


def _select_first_by_layer(rows: Iterable[ValueRange]) -> list[ValueRange]:
    chosen: dict[str, ValueRange] = {}
    for row in rows:
        chosen.setdefault(row.layer, row)
    return list(chosen.values())

"""Whether fp16 holds a model: the largest and smallest magnitude of every intermediate value, and what went silent.

fp16 overflows without a word. Where the square inside an attention's norm becomes infinite, the branch becomes x / inf,
which is zero and no NaN: attention is dead, the residual stream goes on, and the logits look like logits. Only the
values themselves show it, so each is seen twice: computed in float32, for the magnitude it should have, and rounded to
fp16 on its way, for what becomes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf, log2

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_report import RangeReport, ValueRange
from shvit_mobile.deploy.comparison_points import find_comparison_points
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.drift.compare import check_origin
from shvit_mobile.drift.layer_drift import iterate_single_images
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.runtimes.probes.protocols import ActivationObserver, ObservedValue
from shvit_mobile.runtimes.probes.registry import open_activation_observer

ProgressCallback = Callable[[int, int], None]

# fp16's largest number, its smallest with all its digits, and below what it rounds to zero (IEEE 754, binary16).
FP16_MAX, FP16_MIN_NORMAL, FP16_ZERO_LIMIT = 65504.0, 2.0**-14, 2.0**-25
# A value is silent where less than this share of its size is left. Values of a few elements are not judged: those may
# be near zero by chance.
SILENT_SHARE, MIN_ELEMENTS = 1e-3, 16


def measure_ranges(
    artifact: Artifact, trained: TrainedModel, images: ImageSet, *, progress: ProgressCallback | None = None
) -> RangeReport:
    """The range of every float value of `artifact` over `images`, held against fp16.

    A Core ML program is run by the reference executor. An artifact for another target computes in float32 or int8 and
    has nothing to overflow; of it the report is on the float model in its deploy form, with fp16's roundings.

    Args:
        artifact: what to look into.
        trained: the checkpoint it was made from.
        images: the more the better, since the largest counts.
        progress: told (files done, files in all).

    Raises:
        BadArtifact: it was made from another checkpoint, is damaged, or its layers are not the checkpoint's.
        BadImages: no image could be decoded.
    """
    check_origin(artifact, trained)
    deployed = to_deploy_form(trained, normalise=artifact.manifest.input.values == "pixels")
    watch = open_activation_observer(artifact, deployed, tuple(find_comparison_points(deployed.module)))
    known: dict[ObservedValue, RangeAccumulator] = {}
    seen = 0
    for image in iterate_single_images(images, artifact.manifest.preprocessing, progress):
        observe_image(watch, image, known)
        seen += 1
    in_order = [extent.to_value_range(value) for value, extent in known.items()]
    return RangeReport(
        artifact=artifact.path.name,
        engine=watch.engine,
        computes_in_half=watch.computes_in_fp16,
        images=seen,
        values=tuple(sorted(in_order, key=lambda row: -row.largest)),
        flags=(
            *describe_overflows(in_order),
            *describe_non_finite(in_order, seen),
            *describe_silent_layers(in_order, seen),
        ),
        notes=(*describe_large_sums(in_order), *describe_subnormals(in_order)),
    )


def observe_image(
    watch: ActivationObserver, image: NDArray[np.uint8], known: dict[ObservedValue, RangeAccumulator]
) -> None:
    """One image more: in float32, then in fp16, held against the first."""
    sizes: dict[ObservedValue, float] = {}

    def exact(value: ObservedValue, tensor: Tensor) -> None:
        known.setdefault(value, RangeAccumulator()).update(tensor)
        if value.part is None and tensor.numel() >= MIN_ELEMENTS:
            sizes[value] = compute_rms(tensor)

    def half(value: ObservedValue, tensor: Tensor) -> None:
        if value.part is not None:
            return
        if not bool(torch.isfinite(tensor).all()):
            known[value].not_finite += 1
        elif sizes.get(value, 0.0) >= FP16_MIN_NORMAL and compute_rms(tensor) < SILENT_SHARE * sizes[value]:
            known[value].silent += 1

    watch.run(image, exact, round_to_fp16=False)
    watch.run(image, half, round_to_fp16=True)


@dataclass
class RangeAccumulator:
    """A value as images widen it."""

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
        there = magnitudes > 0
        self.elements += int(there.sum())
        self.subnormal += int((there & (magnitudes < FP16_MIN_NORMAL)).sum())
        self.vanished += int((there & (magnitudes < FP16_ZERO_LIMIT)).sum())

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


def compute_rms(tensor: Tensor) -> float:
    return float(tensor.square().mean().sqrt())


def describe_overflows(rows: Sequence[ValueRange]) -> list[str]:
    """A sentence for each layer that has values, or squares within a norm, past fp16's largest number."""
    outputs = [row for row in rows if row.part is None and row.largest > FP16_MAX]
    squares = [row for row in rows if row.part == "squares" and row.largest > FP16_MAX]
    return [
        f"{row.layer}: {row.operator} reaches {row.largest:.3g}, {row.largest / FP16_MAX:.2g} times what fp16 holds."
        for row in select_largest_by_layer(outputs)
    ] + [
        f"{row.layer}: the squares inside {row.operator} reach {row.largest:.3g}, {row.largest / FP16_MAX:.2g} times "
        "what fp16 holds. A kernel that squares in fp16 overflows there and its result becomes zero; whether a device "
        "has such a kernel, only that device tells."
        for row in select_largest_by_layer(squares)
    ]


def describe_non_finite(rows: Sequence[ValueRange], images: int) -> list[str]:
    """A sentence on the first value that is infinite or NaN in fp16, in the order of the data."""
    found = [row for row in rows if row.not_finite]
    if not found:
        return []
    first = found[0]
    return [
        f"{first.layer}: in fp16 {first.operator} is infinite or NaN for {first.not_finite} of {images} images; "
        f"{len(found)} values are, this is the first."
    ]


def describe_silent_layers(rows: Sequence[ValueRange], images: int) -> list[str]:
    """A sentence for each layer that fp16 leaves nothing of."""
    return [
        f"{row.layer}: silent in fp16 for {row.silent} of {images} images: {row.operator} is zero, or nearly, where it "
        "should not be, and nothing says so."
        for row in select_first_by_layer(row for row in rows if row.silent)
    ]


def describe_large_sums(rows: Sequence[ValueRange]) -> list[str]:
    """A sentence on sums that only a kernel with a wider accumulator forms."""
    found = [row for row in rows if row.part == "sum" and row.largest > FP16_MAX]
    if not found:
        return []
    worst = max(found, key=lambda row: row.largest)
    return [
        f"{len(found)} operators form sums past what fp16 holds, the largest {worst.largest:.3g} inside "
        f"{worst.operator} of {worst.layer}. It depends on the kernel: one that adds up in float32, or divides first, "
        "is not harmed; one that adds up in fp16 is."
    ]


def describe_subnormals(rows: Sequence[ValueRange]) -> list[str]:
    """A sentence on values that lie below fp16's normal numbers as a whole, for an image at least."""
    judged = [row for row in rows if row.part is None and row.size >= MIN_ELEMENTS]
    found = [row for row in judged if 0 < row.smallest_peak < FP16_MIN_NORMAL]
    if not found:
        return []
    first = found[0]
    return [
        f"{len(found)} values lie for some image below {FP16_MIN_NORMAL:.2g}, where fp16 has fewer digits and some "
        f"devices have zero; the first is {first.operator} of {first.layer}, at most {first.smallest_peak:.2g}."
    ]


def select_largest_by_layer(rows: Iterable[ValueRange]) -> list[ValueRange]:
    """The largest of each layer, in the order of the data."""
    chosen: dict[str, ValueRange] = {}
    for row in rows:
        if row.layer not in chosen or row.largest > chosen[row.layer].largest:
            chosen[row.layer] = row
    return list(chosen.values())


def select_first_by_layer(rows: Iterable[ValueRange]) -> list[ValueRange]:
    chosen: dict[str, ValueRange] = {}
    for row in rows:
        chosen.setdefault(row.layer, row)
    return list(chosen.values())

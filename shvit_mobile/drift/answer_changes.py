"""What changed between a float model and an artifact: which answers, on which pictures, and what that can show."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shvit_mobile.contracts.drift_report import ChangedImage, Confusion, NeededImages, Prediction, PredictionChanges
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.drift.compare import ArtifactComparison
from shvit_mobile.drift.intervals import compute_drop_interval, estimate_images_for_drop
from shvit_mobile.errors import BadImages
from shvit_mobile.images.decode import decode_image
from shvit_mobile.images.image_set import replace_invalid_utf8
from shvit_mobile.metrics import Labels, Logits, compute_kl_divergence, log_softmax

WORST_COUNT = 12
THUMBNAIL_SIDE, THUMBNAIL_QUALITY = 128, 80


def find_prediction_changes(
    compared: ArtifactComparison,
    labels: Sequence[str],
    root: Path,
    *,
    worst: int = WORST_COUNT,
    max_drop: float | None = None,
) -> PredictionChanges:
    """What changed between the float model and an artifact.

    Args:
        compared: what both said.
        labels: the names of the classes, in the order of the logits.
        root: the folder that the names of files are told from.
        worst: how many pictures to show.
        max_drop: the budget of top-1, in points; `needed` says what it takes to support it, where there are labels.
    """
    return PredictionChanges(
        artifact=compared.row.artifact,
        images=int(np.count_nonzero(compared.logits.argmax(1) != compared.float_logits.argmax(1))),
        confusions=count_confusions(compared.float_logits, compared.logits, compared.labels, labels),
        worst=select_worst_images(compared, labels, root, worst),
        needed=None if max_drop is None else estimate_needed_images(compared.row, max_drop),
    )


def count_confusions(
    float_logits: Logits, logits: Logits, classes: Labels | None, labels: Sequence[str]
) -> tuple[Confusion, ...]:
    """Every change of answer, the most frequent first, then in the order of the classes.

    Args:
        float_logits, logits: of the float model and of the artifact, shape (images, classes).
        classes: the right ones, shape (images,); None where nobody knows them.
        labels: the names of the classes.
    """
    before, after = float_logits.argmax(1), logits.argmax(1)
    moved = np.flatnonzero(before != after)
    counts = Counter((None if classes is None else int(classes[i]), int(before[i]), int(after[i])) for i in moved)
    ranked = sorted(counts.items(), key=lambda counted: (-counted[1], *(index or 0 for index in counted[0])))
    return tuple(
        Confusion(
            label=None if right is None else labels[right], before=labels[first], after=labels[second], images=count
        )
        for (right, first, second), count in ranked
    )


def select_worst_images(
    compared: ArtifactComparison, labels: Sequence[str], root: Path, most: int
) -> tuple[ChangedImage, ...]:
    """The pictures with the largest divergence among those whose answer changed, then among the others.

    Those on which nothing differs at all are left out.
    """
    kl = compute_kl_divergence(compared.float_logits, compared.logits)
    same = compared.float_logits.argmax(1) == compared.logits.argmax(1)
    ranked = np.lexsort((-kl, same))
    return tuple(
        build_changed_image(compared, labels, root, int(i), float(kl[i])) for i in ranked[:most] if not same[i] or kl[i]
    )


def build_changed_image(
    compared: ArtifactComparison, labels: Sequence[str], root: Path, index: int, kl: float
) -> ChangedImage:
    """One picture, by its place among the logits."""
    file = compared.files[index]
    return ChangedImage(
        file=replace_invalid_utf8(file.relative_to(root).as_posix()),
        label=None if compared.labels is None else labels[compared.labels[index]],
        float_answer=build_prediction(compared.float_logits[index], labels),
        answer=build_prediction(compared.logits[index], labels),
        kl=kl,
        thumbnail=encode_thumbnail(file),
    )


def build_prediction(logits: NDArray[np.float32], labels: Sequence[str]) -> Prediction:
    """The choice that one picture's logits make, shape (classes,)."""
    chosen = int(logits.argmax())
    return Prediction(label=labels[chosen], probability=float(np.exp(log_softmax(logits.astype(np.float64))[chosen])))


def encode_thumbnail(file: Path) -> str | None:
    """The upright picture as a JPEG of at most 128 pixels a side, in base64; None where it is gone by now."""
    try:
        picture = decode_image(file)
    except BadImages:
        return None
    picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=THUMBNAIL_QUALITY, optimize=True)
    return base64.b64encode(encoded.getvalue()).decode("ascii")


def estimate_needed_images(row: DriftRow, max_drop: float) -> NeededImages | None:
    """Whether a row's images show a drop within `max_drop` points, and how many would; None without labels."""
    if row.mcnemar is None:
        return None
    lost, gained = row.mcnemar.lost, row.mcnemar.gained
    return NeededImages(
        max_drop=max_drop,
        supported=compute_drop_interval(lost, gained, row.images)[1] <= max_drop,
        images=estimate_images_for_drop(lost, gained, row.images, max_drop),
    )

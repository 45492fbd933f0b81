"""Finds the predictions that differ between the float model and an artifact, and the images on which they do."""

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
from shvit_mobile.images.accounting import replace_invalid_utf8
from shvit_mobile.images.decode import decode_image
from shvit_mobile.metrics import Labels, Logits, compute_kl_divergence, log_softmax

_WORST_COUNT = 12
THUMBNAIL_SIDE, THUMBNAIL_QUALITY = 128, 80


def find_prediction_changes(
    compared: ArtifactComparison,
    labels: Sequence[str],
    root: Path,
    *,
    worst: int = _WORST_COUNT,
    max_drop: float | None = None,
) -> PredictionChanges:
    """Return the predictions that changed.

    Args:
        compared: The logits of both models.
        labels: The class names, in the order of the logits.
        root: The folder to which file names are relative.
        worst: How many images to show (default: 12).
        max_drop: A budget in points of top-1; with labels, `needed` says how many images support it.
    """
    return PredictionChanges(
        artifact=compared.row.artifact,
        images=int(np.count_nonzero(compared.logits.argmax(1) != compared.float_logits.argmax(1))),
        confusions=count_confusions(compared.float_logits, compared.logits, compared.labels, labels),
        worst=_select_worst_images(compared, labels, root, worst),
        needed=None if max_drop is None else estimate_needed_images(compared.row, max_drop),
    )


def count_confusions(
    float_logits: Logits, logits: Logits, classes: Labels | None, labels: Sequence[str]
) -> tuple[Confusion, ...]:
    """Count the changed predictions, the most frequent first, then in the order of the classes.

    Args:
        float_logits: Logits of the float model, shape (images, classes).
        logits: Logits of the artifact, same shape.
        classes: The labels of the images, shape (images,); None if they have none.
        labels: The class names.
    """
    before, after = float_logits.argmax(1), logits.argmax(1)
    changed = np.flatnonzero(before != after)
    counts = Counter((None if classes is None else int(classes[i]), int(before[i]), int(after[i])) for i in changed)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], *(index or 0 for index in item[0])))
    return tuple(
        Confusion(
            label=None if right is None else labels[right], before=labels[first], after=labels[second], images=count
        )
        for (right, first, second), count in ranked
    )


def _select_worst_images(
    compared: ArtifactComparison, labels: Sequence[str], root: Path, most: int
) -> tuple[ChangedImage, ...]:
    """Return the images with the largest KL divergence: those with a changed prediction first.

    Images on which the models do not differ at all are left out.
    """
    kl = compute_kl_divergence(compared.float_logits, compared.logits)
    same = compared.float_logits.argmax(1) == compared.logits.argmax(1)
    ranked = np.lexsort((-kl, same))
    return tuple(
        _build_changed_image(compared, labels, root, int(i), float(kl[i]))
        for i in ranked[:most]
        if not same[i] or kl[i]
    )


def _build_changed_image(
    compared: ArtifactComparison, labels: Sequence[str], root: Path, index: int, kl: float
) -> ChangedImage:
    file = compared.files[index]
    return ChangedImage(
        file=replace_invalid_utf8(file.relative_to(root).as_posix()),
        label=None if compared.labels is None else labels[compared.labels[index]],
        float_answer=_build_prediction(compared.float_logits[index], labels),
        answer=_build_prediction(compared.logits[index], labels),
        kl=kl,
        thumbnail=encode_thumbnail(file),
    )


def _build_prediction(logits: NDArray[np.float32], labels: Sequence[str]) -> Prediction:
    """Return the predicted class for logits of shape (classes,)."""
    chosen = int(logits.argmax())
    return Prediction(label=labels[chosen], probability=float(np.exp(log_softmax(logits.astype(np.float64))[chosen])))


def encode_thumbnail(file: Path) -> str | None:
    """Return the upright image as a JPEG of at most 128 pixels per side, in base64; None if it cannot be read."""
    try:
        image = decode_image(file)
    except BadImages:
        return None
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=THUMBNAIL_QUALITY, optimize=True)
    return base64.b64encode(encoded.getvalue()).decode("ascii")


def estimate_needed_images(row: DriftRow, max_drop: float) -> NeededImages | None:
    """Estimate how many images show that the drop is within `max_drop` points; None without labels."""
    if row.mcnemar is None:
        return None
    lost, gained = row.mcnemar.lost, row.mcnemar.gained
    return NeededImages(
        max_drop=max_drop,
        supported=compute_drop_interval(lost, gained, row.images)[1] <= max_drop,
        images=estimate_images_for_drop(lost, gained, row.images, max_drop),
    )

"""Computes SQNR, KL divergence, agreement and top-k accuracy of logits, in float64 and without torch."""

from collections.abc import Iterator
from math import inf, isfinite, log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.errors import BadArtifact, BadCheckpoint, BadImages, InvalidValue, ShapeMismatch, ShvitError

Logits = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]

# Images per block of float64: a whole copy of the logits of ImageNet's validation set would take 400 MB. Of maps, with
# hundreds of thousands of values each, a block has fewer.
BLOCK = 4096
_BLOCK_VALUES = 4_096_000


def sqnr(reference: Logits, actual: Logits) -> float:
    """Compute the signal-to-quantization-noise ratio of `actual` in dB.

    Args:
        reference: Float logits, shape (images, classes).
        actual: Logits of the artifact, same shape.

    Returns:
        10 log10(sum(r^2) / sum((r - a)^2)); `inf` if they are equal, `-inf` if only the reference is all zeros.

    Raises:
        ShapeMismatch: If the shapes differ, or are not (images, classes).
        BadImages: If there are no images.
        BadCheckpoint: If a logit of the reference is not finite.
        BadArtifact: If a logit of the artifact is not finite.
    """
    signal = noise = 0.0
    for r, a in _iterate_blocks(reference, actual):
        signal += float(np.sum(r * r))
        noise += float(np.sum((r - a) ** 2))
    return compute_ratio_db(signal, noise)


def compute_ratio_db(signal: float, noise: float) -> float:
    """Return 10 log10(signal / noise); `inf` without noise, `-inf` without signal or if either is not finite."""
    if not isfinite(signal) or not isfinite(noise):
        return -inf
    if noise == 0:
        return inf
    return 10 * (log10(signal) - log10(noise)) if signal else -inf


def compute_max_abs_error(reference: Logits, actual: Logits) -> float:
    """Compute the largest difference of a logit; arguments and errors as for `sqnr`."""
    return max(float(np.max(np.abs(r - a))) for r, a in _iterate_blocks(reference, actual))


def compute_mean_kl(reference: Logits, actual: Logits) -> float:
    """Compute the mean KL divergence of the images, in nats; arguments and errors as for `sqnr`."""
    return float(np.mean(compute_kl_divergence(reference, actual)))


def compute_kl_divergence(reference: Logits, actual: Logits) -> NDArray[np.float64]:
    """Compute KL(softmax(reference) || softmax(actual)) of each image, in nats, shape (images,); errors as for `sqnr`.

    It is never negative: an image that rounding puts below zero counts as zero.
    """
    parts = []
    for r, a in _iterate_blocks(reference, actual):
        log_p, log_q = log_softmax(r), log_softmax(a)
        parts.append(np.maximum(np.sum(np.exp(log_p) * (log_p - log_q), axis=1), 0))
    return np.concatenate(parts)


def compare_top1_classes(reference: Logits, actual: Logits) -> NDArray[np.bool_]:
    """Return for each image whether both predict the same class (of equal logits the first); errors as for `sqnr`."""
    _check_pair(reference, actual)
    same: NDArray[np.bool_] = reference.argmax(axis=1) == actual.argmax(axis=1)
    return same


def compute_agreement(reference: Logits, actual: Logits) -> float:
    """Compute the share of images with the same predicted class, 0 to 1; arguments and errors as for `sqnr`."""
    return float(np.mean(compare_top1_classes(reference, actual)))


def find_topk_hits(logits: Logits, labels: Labels, k: int) -> NDArray[np.bool_]:
    """Return for each image whether its label is among the `k` classes with the largest logits.

    Of equal logits the lower index ranks first, as in `argmax`.

    Args:
        logits: Finite, shape (images, classes).
        labels: Integers in 0 to classes - 1, shape (images,).
        k: The number of classes, at least 1.

    Returns:
        Booleans, shape (images,).

    Raises:
        ShapeMismatch: If the number of labels is not the number of images.
        BadImages: If there are no images, or a label is not a class.
        BadArtifact: If a logit is not finite.
        InvalidValue: If `k` is below 1.
    """
    if k < 1:
        raise InvalidValue(f"`k` is {k}.", why="At least one class is needed.", parameter="k")
    check_logits(logits, "The logits", BadArtifact)
    check_labels(labels, *logits.shape)
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    before = np.arange(logits.shape[1]) < labels[:, None]
    hits: NDArray[np.bool_] = np.count_nonzero((logits > own) | ((logits == own) & before), axis=1) < k
    return hits


def check_logits(logits: Logits, whose: str, error: type[ShvitError]) -> None:
    """Reject logits that cannot be compared.

    Args:
        logits: Logits, shape (images, classes).
        whose: The subject of the error's sentence, in the plural: "The float model's logits".
        error: The class to raise for logits that are not finite.

    Raises:
        ShapeMismatch: If they do not have two dimensions, or no classes.
        BadImages: If there are no images.
        error: If a logit is NaN or infinite.
    """
    if logits.ndim != 2 or not logits.shape[1]:
        raise ShapeMismatch(f"{whose} have the shape {logits.shape}.", why="It should be (images, classes).")
    if not len(logits):
        raise BadImages("There are no images to compare on.", why="Every metric of drift is a mean over images.")
    broken = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(broken):
        raise error(
            f"{whose} are not finite for {len(broken)} of {len(logits)} images; the first is number {broken[0]}.",
            why="A value overflowed, or weights are damaged.",
        )


def _check_pair(reference: Logits, actual: Logits) -> None:
    """Raise the errors of `sqnr` if two arrays of logits cannot be compared."""
    if reference.shape != actual.shape:
        raise ShapeMismatch(
            f"The artifact's logits have the shape {actual.shape}, the float model's {reference.shape}.",
            why="Both should be (images, classes), for the same images and classes.",
        )
    check_logits(reference, "The float model's logits", BadCheckpoint)
    check_logits(actual, "The artifact's logits", BadArtifact)


def check_labels(labels: Labels, images: int, classes: int) -> None:
    """Raise the errors of `find_topk_hits` unless `labels` contains one class for each image."""
    if labels.shape != (images,):
        raise ShapeMismatch(f"The labels have the shape {labels.shape}.", why=f"It should be ({images},).")
    if not np.issubdtype(labels.dtype, np.integer):
        raise BadImages(f"The labels are {labels.dtype}.", why="Labels are class indices: integers.")
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(outside):
        raise BadImages(
            f"{len(outside)} of {images} images have a label that is not a class of the model; the first is image "
            f"number {outside[0]}, with label {labels[outside[0]]}.",
            why=f"The model has {classes} classes, 0 to {classes - 1}.",
            hint="Check that the folder's classes are those of the model, or validate without labels.",
        )


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the logarithm of the softmax over the last axis, without overflow."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def _iterate_blocks(reference: Logits, actual: Logits) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Check both arrays and yield them in float64, one block of images at a time."""
    _check_pair(reference, actual)
    step = max(1, min(BLOCK, _BLOCK_VALUES // reference.shape[1]))
    for start in range(0, len(reference), step):
        rows = slice(start, start + step)
        yield reference[rows].astype(np.float64), actual[rows].astype(np.float64)

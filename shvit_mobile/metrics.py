"""How far an artifact's logits are from the float model's: pure functions of two arrays, computed in float64."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, isfinite, log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.errors import BadArtifact, BadCheckpoint, BadImages, InvalidConfig, ShapeMismatch, ShvitError

Logits = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]

# Rows that are widened to float64 at a time: the validation set of ImageNet would otherwise take 400 MB a copy.
BLOCK = 4096


def sqnr(reference: Logits, actual: Logits) -> float:
    """Signal-to-quantization-noise ratio of `actual` against `reference`, in dB.

    Args:
        reference: float logits, shape (images, classes).
        actual: logits of the artifact, same shape.

    Returns:
        10 log10(sum r^2 / sum (r - a)^2); `inf` where they are equal, `-inf` where only the reference is all zero.

    Raises:
        ShapeMismatch: the shapes differ, or are not (images, classes).
        BadImages: there are no images.
        BadCheckpoint, BadArtifact: a logit of the reference or of the artifact is not finite.
    """
    signal = noise = 0.0
    for r, a in iterate_blocks(reference, actual):
        signal += float(np.sum(r * r))
        noise += float(np.sum((r - a) ** 2))
    return compute_ratio_db(signal, noise)


def compute_ratio_db(signal: float, noise: float) -> float:
    """10 log10(signal / noise): `inf` without noise, `-inf` without signal or where either is not finite."""
    if not isfinite(signal) or not isfinite(noise):
        return -inf
    if noise == 0:
        return inf
    return 10 * (log10(signal) - log10(noise)) if signal else -inf


def compute_max_abs_error(reference: Logits, actual: Logits) -> float:
    """The largest difference of any logit; arguments and errors as for `sqnr`."""
    return max(float(np.max(np.abs(r - a))) for r, a in iterate_blocks(reference, actual))


def compute_mean_kl(reference: Logits, actual: Logits) -> float:
    """Mean over the images of `compute_kl_divergence`, in nats; arguments and errors as for `sqnr`."""
    return float(np.mean(compute_kl_divergence(reference, actual)))


def compute_kl_divergence(reference: Logits, actual: Logits) -> NDArray[np.float64]:
    """KL(softmax(reference) || softmax(actual)) of each image, in nats, shape (images,); errors as for `sqnr`.

    Never negative: where rounding leaves an image a little below zero, it counts as zero.
    """
    parts = []
    for r, a in iterate_blocks(reference, actual):
        log_p, log_q = log_softmax(r), log_softmax(a)
        parts.append(np.maximum(np.sum(np.exp(log_p) * (log_p - log_q), axis=1), 0))
    return np.concatenate(parts)


def compare_top1_classes(reference: Logits, actual: Logits) -> NDArray[np.bool_]:
    """Whether both choose the same class, shape (images,); of equal logits the first counts. As for `sqnr` else."""
    check_pair(reference, actual)
    same: NDArray[np.bool_] = reference.argmax(axis=1) == actual.argmax(axis=1)
    return same


def compute_agreement(reference: Logits, actual: Logits) -> float:
    """The share of images on which both choose the same class, 0 to 1; arguments and errors as for `sqnr`."""
    return float(np.mean(compare_top1_classes(reference, actual)))


def find_topk_hits(logits: Logits, labels: Labels, k: int) -> NDArray[np.bool_]:
    """Whether the label is among the `k` classes with the largest logits.

    Of equal logits the one with the lower index ranks first, so that `k` = 1 is what `argmax` chooses.

    Args:
        logits: shape (images, classes), finite.
        labels: integers in 0 to classes - 1, shape (images,).
        k: at least 1.

    Returns:
        booleans, shape (images,).

    Raises:
        ShapeMismatch: there is not one label an image.
        BadImages: there are no images, or a label is not a class.
        BadArtifact: a logit is not finite.
        InvalidConfig: `k` is below 1.
    """
    if k < 1:
        raise InvalidConfig(f"k is {k}.", why="It is how many classes are looked at: at least 1.")
    check_logits(logits, "The logits", BadArtifact)
    check_labels(labels, *logits.shape)
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    before = np.arange(logits.shape[1]) < labels[:, None]
    hits: NDArray[np.bool_] = np.count_nonzero((logits > own) | ((logits == own) & before), axis=1) < k
    return hits


def check_logits(logits: Logits, whose: str, error: type[ShvitError]) -> None:
    """Refuses logits that could not be compared: a NaN compares as neither right nor wrong, and would flatter.

    Args:
        logits: should be finite, shape (images, classes), neither of them 0.
        whose: opens the error's sentence, in the plural and with a capital ("The float model's logits").
        error: the class to raise for logits that are not finite.

    Raises:
        ShapeMismatch: not of two dimensions, or no classes.
        BadImages: no images.
        error: a logit is NaN or infinite.
    """
    if logits.ndim != 2 or not logits.shape[1]:
        raise ShapeMismatch(f"{whose} have the shape {logits.shape}.", why="It should be (images, classes).")
    if not len(logits):
        raise BadImages("There are no images to compare on.", why="Every figure of drift is a mean over images.")
    broken = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(broken):
        raise error(
            f"{whose} are not finite for {len(broken)} of {len(logits)} images, the first being number {broken[0]}.",
            why="NaN and infinity mean that something overflowed or that weights are damaged; no class can be chosen.",
        )


def check_pair(reference: Logits, actual: Logits) -> None:
    """Raises what `sqnr` says where two arrays of logits cannot be compared."""
    if reference.shape != actual.shape:
        raise ShapeMismatch(
            f"The artifact's logits have the shape {actual.shape}, the float model's {reference.shape}.",
            why="Both should answer the same images with the same classes: (images, classes).",
        )
    check_logits(reference, "The float model's logits", BadCheckpoint)
    check_logits(actual, "The artifact's logits", BadArtifact)


def check_labels(labels: Labels, images: int, classes: int) -> None:
    """Raises what `find_topk_hits` says where `labels` are not one class for each image."""
    if labels.shape != (images,):
        raise ShapeMismatch(f"The labels have the shape {labels.shape}.", why=f"It should be ({images},).")
    if not np.issubdtype(labels.dtype, np.integer):
        raise BadImages(f"The labels are {labels.dtype}.", why="They are the indices of classes: integers.")
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(outside):
        raise BadImages(
            f"{len(outside)} of {images} images have a label that the model does not know: the first is image number "
            f"{outside[0]}, labelled {labels[outside[0]]}.",
            why=f"The model has {classes} classes, 0 to {classes - 1}.",
            hint="Check that the folder's classes are the model's, or validate without labels.",
        )


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithms of the softmax over the last axis; no exponential overflows."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    normed: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normed


def iterate_blocks(reference: Logits, actual: Logits) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Both arrays as float64, some rows at a time, after `check_pair`."""
    check_pair(reference, actual)
    for start in range(0, len(reference), BLOCK):
        rows = slice(start, start + BLOCK)
        yield reference[rows].astype(np.float64), actual[rows].astype(np.float64)

"""Runs an artifact and its float checkpoint on the same pixels, and makes one row of the drift table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_row import DriftRow, Execution
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.drift.intervals import compute_drop_interval, compute_mcnemar_test, estimate_proportion
from shvit_mobile.errors import BadArtifact, BadCheckpoint, BadImages, InvalidConfig
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.batches import iterate_batches
from shvit_mobile.images.class_names import format_list
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.metrics import (
    Labels,
    Logits,
    check_labels,
    check_logits,
    compare_top1_classes,
    compute_max_abs_error,
    compute_mean_kl,
    find_topk_hits,
    sqnr,
)
from shvit_mobile.runtimes import open_runner
from shvit_mobile.runtimes.runner import Runner

ProgressCallback = Callable[[int, int], None]
LogitsFunction = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class FloatReference:
    """The float model's answers on some images, kept so that many artifacts can be compared with them.

    Attributes:
        logits: float32, shape (images, classes).
        files: the images, in the order of `logits`.
        preprocessing: how the images became pixels.
        checkpoint_sha256: of the checkpoint that answered.
    """

    logits: NDArray[np.float32]
    files: tuple[Path, ...]
    preprocessing: Preprocessing
    checkpoint_sha256: str


@dataclass(frozen=True)
class ArtifactComparison:
    """What an artifact and its float model said to the same images, and the row that comes of it.

    Attributes:
        row: the figures.
        logits, float_logits: the artifact's and the float model's, float32, shape (images, classes).
        labels: the right classes, int64, shape (images,); None where nobody knows them.
        files: the images, in the order of the logits.
    """

    row: DriftRow
    logits: NDArray[np.float32]
    float_logits: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    files: tuple[Path, ...]


def compare(
    artifact: Artifact,
    trained: TrainedModel,
    images: ImageSet,
    *,
    runner: Runner | None = None,
    reference: FloatReference | None = None,
    batch: int = 32,
    progress: ProgressCallback | None = None,
) -> DriftRow:
    """The drift of `artifact` against the float checkpoint it was made from, both run here on the same pixels.

    The pixels are made as the artifact's manifest says, once for both. Only logits are kept, so memory does not grow
    with the size of the images.

    Args:
        artifact: what to prove.
        trained: the float checkpoint.
        images: without labels, or opened with the model's: `open_images(path, labels=trained.labels)`.
        runner: the artifact, already loaded; opened here otherwise.
        reference: what `compute_float_reference` gave for the same checkpoint, images and preprocessing; saves running the
            float model again for each of several artifacts.
        batch: images at a time.
        progress: told (files done, files in all) after each batch.

    Raises:
        BadArtifact: it was made from another checkpoint, has other classes, or answers with another shape or with
            logits that are not finite, or its runtime refuses it.
        BadCheckpoint: the float model's logits are not finite.
        BadImages: no image could be decoded, the labels are not of the model's classes, or `reference` is of other
            images.
        ToolMissing: its runtime is not installed.
        InvalidConfig: `reference` is of another checkpoint or preprocessing.
    """
    return compare_with_logits(
        artifact, trained, images, runner=runner, reference=reference, batch=batch, progress=progress
    ).row


def compare_with_logits(
    artifact: Artifact,
    trained: TrainedModel,
    images: ImageSet,
    *,
    runner: Runner | None = None,
    reference: FloatReference | None = None,
    batch: int = 32,
    progress: ProgressCallback | None = None,
) -> ArtifactComparison:
    """The row that `compare` gives, with the answers behind it; arguments and errors are the same."""
    check_origin(artifact, trained)
    check_classes(images, artifact, trained)
    preprocessing = artifact.manifest.preprocessing
    if reference is not None:
        check_reference(reference, trained, preprocessing)
    runner = runner or open_runner(artifact)
    run = wrap_runner(runner, artifact)
    if reference is None:
        answers = collect_logits(
            [run, wrap_float_model(trained, preprocessing)], images, preprocessing, batch, progress
        )
        float_logits = answers.logits[1]
    else:
        answers = collect_logits([run], images, preprocessing, batch, progress)
        float_logits = reference.logits
        check_same_images(reference, answers)
    figures = build_drift_row(
        float_logits,
        answers.logits[0],
        answers.labels,
        artifact=artifact.path.name,
        target=artifact.manifest.target,
        precision=artifact.manifest.precision_name,
        execution=runner.execution,
        engine=runner.engine,
        artifact_sha256=artifact.manifest.artifact.sha256,
        skipped=answers.skipped,
    )
    return ArtifactComparison(figures, answers.logits[0], float_logits, answers.labels, answers.files)


def compute_float_reference(
    trained: TrainedModel,
    images: ImageSet,
    *,
    preprocessing: Preprocessing | None = None,
    batch: int = 32,
    progress: ProgressCallback | None = None,
) -> FloatReference:
    """The float model's answers on `images`, for `compare`.

    Args:
        trained: the float checkpoint.
        images: with labels, which are not looked at, or without.
        preprocessing: that of the artifacts to compare; the checkpoint's own otherwise.
        batch: images at a time.
        progress: told (files done, files in all) after each batch.

    Raises:
        BadCheckpoint: a logit is not finite.
        BadImages: no image could be decoded.
    """
    preprocessing = preprocessing or trained.preprocessing
    answers = collect_logits([wrap_float_model(trained, preprocessing)], images, preprocessing, batch, progress)
    (logits,) = answers.logits
    check_logits(logits, "The float model's logits", BadCheckpoint)
    return FloatReference(logits, answers.files, preprocessing, trained.sha256)


def build_drift_row(
    float_logits: Logits,
    logits: Logits,
    labels: Labels | None,
    *,
    artifact: str,
    target: str,
    precision: str,
    execution: Execution,
    engine: str,
    artifact_sha256: str | None = None,
    skipped: int = 0,
) -> DriftRow:
    """One row of the drift table from the answers of both models.

    Args:
        float_logits: the float model's, shape (images, classes).
        logits: the artifact's, same shape.
        labels: the right classes, shape (images,); None where nobody knows them.
        artifact: the artifact's file name.
        target, precision, how, engine, artifact_sha256, skipped: as in `DriftRow`.

    Raises:
        ShapeMismatch: the shapes differ.
        BadArtifact: a logit of the artifact is not finite.
        BadCheckpoint: a logit of the float model is not finite.
        BadImages: there are no images, or a label is not a class.
    """
    check_logits(logits, f"The logits of {artifact}", BadArtifact)
    unlabelled = DriftRow(
        artifact=artifact,
        target=target,
        precision=precision,
        how=execution,
        engine=engine,
        artifact_sha256=artifact_sha256,
        images=len(logits),
        skipped=skipped,
        agreement=estimate_proportion(compare_top1_classes(float_logits, logits)),
        sqnr_db=sqnr(float_logits, logits),
        max_abs_error=compute_max_abs_error(float_logits, logits),
        mean_kl=compute_mean_kl(float_logits, logits),
    )
    return unlabelled if labels is None else add_accuracy(unlabelled, float_logits, logits, labels)


def add_accuracy(unlabelled: DriftRow, float_logits: Logits, logits: Logits, labels: Labels) -> DriftRow:
    """`unlabelled` with the figures that need labels; top-5 only where there are more than five classes to choose."""
    float_hits, hits = find_topk_hits(float_logits, labels, 1), find_topk_hits(logits, labels, 1)
    lost = int(np.count_nonzero(float_hits & ~hits))
    gained = int(np.count_nonzero(hits & ~float_hits))
    has_top5 = logits.shape[1] > 5
    accuracy = {
        "top1": estimate_proportion(hits),
        "float_top1": estimate_proportion(float_hits),
        "top5": estimate_proportion(find_topk_hits(logits, labels, 5)) if has_top5 else None,
        "float_top5": estimate_proportion(find_topk_hits(float_logits, labels, 5)) if has_top5 else None,
        "top1_drop": 100 * (lost - gained) / len(logits),
        "top1_drop_interval": compute_drop_interval(lost, gained, len(logits)),
        "mcnemar": compute_mcnemar_test(lost, gained),
    }
    return unlabelled.model_copy(update=accuracy)


@dataclass(frozen=True)
class CollectedLogits:
    """What some models said to the same images: `logits` holds one array (images, classes) for each of them."""

    logits: list[NDArray[np.float32]]
    labels: NDArray[np.int64] | None
    files: tuple[Path, ...]
    skipped: int


def collect_logits(
    models: Sequence[LogitsFunction],
    images: ImageSet,
    preprocessing: Preprocessing,
    batch: int,
    progress: ProgressCallback | None,
) -> CollectedLogits:
    """The answers of all `models` in one pass over `images`; keeps no pixels.

    Raises:
        BadImages: no image could be decoded.
    """
    parts: list[list[NDArray[np.float32]]] = [[] for _ in models]
    labels: list[NDArray[np.int64]] = []
    files: list[Path] = []
    skipped = 0
    for some in iterate_batches(images, preprocessing, size=batch):
        for model, part in zip(models, parts, strict=True):
            part.append(model(some.pixels))
        if some.labels is not None:
            labels.append(some.labels)
        files += some.files
        skipped += len(some.skipped)
        if progress is not None:
            progress(len(files) + skipped, len(images))
    return CollectedLogits(
        logits=[np.concatenate(part) for part in parts],
        labels=np.concatenate(labels) if labels else None,
        files=tuple(files),
        skipped=skipped,
    )


def wrap_float_model(trained: TrainedModel, preprocessing: Preprocessing) -> LogitsFunction:
    """The float checkpoint as pixels (images, height, width, 3) to float32 logits (images, classes)."""

    def run(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with use_eval_mode(trained.model), torch.inference_mode():
            logits: NDArray[np.float32] = trained.model(torch.from_numpy(preprocessing.normalize(pixels))).numpy()
        return logits

    return run


@contextmanager
def use_eval_mode(model: nn.Module) -> Iterator[None]:
    """The model in eval mode, and each of its modules back in its own mode afterwards: the model is the caller's."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def wrap_runner(runner: Runner, artifact: Artifact) -> LogitsFunction:
    """`runner.run`, with answers of another shape than (images, classes) refused at the first batch."""
    classes = artifact.manifest.model.classes

    def run(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        logits = runner.run(pixels)
        if logits.shape != (len(pixels), classes):
            raise BadArtifact(
                f"{artifact.path.name} answers {len(pixels)} images with an output of shape {logits.shape}.",
                why=f"Its manifest says {classes} classes, so it should be ({len(pixels)}, {classes}).",
                hint="Export it again.",
            )
        return logits

    return run


def check_origin(artifact: Artifact, trained: TrainedModel) -> None:
    """Raises `BadArtifact` where `artifact` was not made from `trained`: its drift from it would mean nothing."""
    made_from, name = artifact.manifest.model, artifact.path.name
    if made_from.checkpoint_sha256 != trained.sha256:
        raise BadArtifact(
            f"{name} was made from another checkpoint.",
            why=f"Its manifest names {made_from.source} with SHA-256 {made_from.checkpoint_sha256[:12]}…; "
            f"{trained.source} has {trained.sha256[:12]}….",
            hint="Give the checkpoint it was made from, or export it again from this one.",
        )
    if made_from.classes != trained.model.config.classes:
        raise BadArtifact(
            f"{name} has {made_from.classes} classes, {trained.source} has {trained.model.config.classes}.",
            why="Their logits cannot be compared one by one.",
            hint="Export it again from this checkpoint.",
        )


def check_classes(images: ImageSet, artifact: Artifact, trained: TrainedModel) -> None:
    """Raises `BadImages` where the labels of `images` are indices into other classes than the model's."""
    if images.labels is None:
        return
    if images.classes and images.classes not in (trained.labels, artifact.manifest.labels):
        raise BadImages(
            f"The labels of the images are of other classes than the model's: {format_list(images.classes)}.",
            why=f"The model's: {format_list(trained.labels)}. The same index would mean one class here and another there.",
            hint="Open the images with the model's labels: open_images(path, labels=trained.labels)",
        )
    check_labels(np.array(images.labels), len(images), trained.model.config.classes)


def check_reference(reference: FloatReference, trained: TrainedModel, preprocessing: Preprocessing) -> None:
    """Raises `InvalidConfig` where `reference` holds the answers of another model, or to other pixels."""
    if reference.checkpoint_sha256 != trained.sha256:
        raise InvalidConfig(
            "The reference holds the answers of another checkpoint.",
            why=f"Its SHA-256 is {reference.checkpoint_sha256[:12]}…; {trained.source} has {trained.sha256[:12]}….",
            hint="Make it again: float_reference(trained, images)",
        )
    if reference.preprocessing != preprocessing:
        raise InvalidConfig(
            "The reference was made with another preprocessing than the artifact's.",
            why=f"It is {reference.preprocessing}, the artifact's manifest says {preprocessing}.",
            hint="Make it again: float_reference(trained, images, preprocessing=artifact.manifest.preprocessing)",
        )


def check_same_images(reference: FloatReference, answers: CollectedLogits) -> None:
    """Raises `BadImages` where the float model answered other files than the artifact, or in another order."""
    if reference.files != answers.files:
        raise BadImages(
            f"The reference holds {len(reference.files)} images and the artifact saw {len(answers.files)} others.",
            why="Both models must answer the same images in the same order.",
            hint="Make it again from these images: float_reference(trained, images)",
        )

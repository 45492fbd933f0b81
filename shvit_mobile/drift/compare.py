"""Runs an artifact and its float checkpoint on the same pixels and measures the drift."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from shvit_mobile import metrics
from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_row import DriftRow, EmulatedCPU, Execution
from shvit_mobile.contracts.image_use import SkippedImages
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.drift.intervals import compute_drop_interval, compute_mcnemar_test, estimate_proportion
from shvit_mobile.drift.map_drift import MapSource, compare_maps
from shvit_mobile.errors import BadArtifact, BadCheckpoint, BadImages, ConflictingParameters
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.batches import SkippedImage, group_undecodable, iterate_batches
from shvit_mobile.images.class_names import format_list
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.progress import ProgressCallback
from shvit_mobile.runtimes import open_runner
from shvit_mobile.runtimes.runner import Runner
from shvit_mobile.threads import BATCH, choose_batch_size, map_in_order

LogitsFunction = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class FloatReference:
    """The float model's logits, with which many artifacts can be compared.

    Attributes:
        logits: float32, shape (images, classes).
        files: The images, in the order of `logits`.
        preprocessing: The preprocessing of the images.
        checkpoint_sha256: The SHA-256 of the float checkpoint.
        skipped: The images that could not be decoded.
    """

    logits: NDArray[np.float32]
    files: tuple[Path, ...]
    preprocessing: Preprocessing
    checkpoint_sha256: str
    skipped: tuple[SkippedImages, ...] = ()


@dataclass(frozen=True)
class ArtifactComparison:
    """The logits of an artifact and of its float model for the same images, and the drift between them.

    Attributes:
        row: The drift.
        logits, float_logits: Logits of the artifact and of the float model, float32, shape (images, classes).
        labels: The labels, int64, shape (images,); None if the images have none.
        files: The images, in the order of the logits.
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
    """Compare an artifact with the float checkpoint it was exported from, on the same pixels.

    The artifact's manifest defines the preprocessing for both. Only logits are kept in memory; of maps, sums.

    Args:
        artifact: The artifact.
        trained: The float checkpoint.
        images: Images without labels, or with the model's: `open_images(path, labels=trained.labels)`.
        runner: The loaded artifact (default: it is loaded here).
        reference: The result of `compute_float_reference` for the same checkpoint, images and preprocessing; with it,
            the float model does not run again for each artifact; None for maps.
        batch: Images per batch (default: 32).
        progress: Called with the files done and all files after each batch.

    Raises:
        BadArtifact: If it was exported from another checkpoint, if its logits have the wrong shape or are not finite,
            or if its runtime rejects it.
        BadCheckpoint: If the float model's logits are not finite.
        BadImages: If no image can be decoded, the labels are not the model's classes, or `reference` contains other
            images.
        ToolMissing: If its runtime is not installed.
        ConflictingParameters: If `reference` is of another checkpoint or preprocessing.
    """
    if artifact.manifest.task != "classify":
        check_origin(artifact, trained)
        manifest = artifact.manifest
        source = build_map_source(artifact, runner or open_runner(artifact))
        names = manifest.output.names
        (row,), _ = compare_maps([source], trained, images, manifest.preprocessing, names, progress=progress)
        return row
    return compare_with_logits(
        artifact, trained, images, runner=runner, reference=reference, batch=batch, progress=progress
    ).row


def build_map_source(artifact: Artifact, runner: Runner, cpu: EmulatedCPU | None = None) -> MapSource:
    """Return an artifact of maps for `compare_maps`; `cpu` is the one that an emulating `runner` emulates."""
    manifest = artifact.manifest
    return MapSource(
        artifact=artifact.path.name,
        target=manifest.target,
        precision=manifest.precision_name,
        execution=runner.execution,
        engine=runner.engine,
        run=runner.run_outputs,
        artifact_sha256=manifest.artifact.sha256,
        cpu=cpu,
        detection=manifest.detection,
    )


def compare_with_logits(
    artifact: Artifact,
    trained: TrainedModel,
    images: ImageSet,
    *,
    runner: Runner | None = None,
    reference: FloatReference | None = None,
    batch: int = 32,
    progress: ProgressCallback | None = None,
    cpu: EmulatedCPU | None = None,
) -> ArtifactComparison:
    """Do the same as `compare`, and return the logits too; `cpu` is the one that an emulating `runner` emulates."""
    check_origin(artifact, trained)
    check_classes(images, artifact, trained)
    preprocessing = artifact.manifest.preprocessing
    if reference is not None:
        check_reference(reference, trained, preprocessing)
    runner = runner or open_runner(artifact)
    models = [_wrap_runner(runner, artifact)]
    if reference is None:
        models.append(_wrap_float_model(trained, preprocessing))
    answers = collect_logits(models, images, preprocessing, batch, progress)
    if reference is not None:
        check_same_images(reference, answers)
    float_logits = answers.logits[1] if reference is None else reference.logits
    row = build_drift_row(
        float_logits,
        answers.logits[0],
        answers.labels,
        artifact=artifact.path.name,
        target=artifact.manifest.target,
        precision=artifact.manifest.precision_name,
        execution=runner.execution,
        engine=runner.engine,
        artifact_sha256=artifact.manifest.artifact.sha256,
        skipped=answers.skipped_count,
        cpu=cpu,
    )
    return ArtifactComparison(row, answers.logits[0], float_logits, answers.labels, answers.files)


def compute_float_reference(
    trained: TrainedModel,
    images: ImageSet,
    *,
    preprocessing: Preprocessing | None = None,
    batch: int = 32,
    progress: ProgressCallback | None = None,
) -> FloatReference:
    """Compute the float model's logits for `compare`.

    Args:
        trained: The float checkpoint.
        images: The images; labels are ignored.
        preprocessing: The preprocessing of the artifacts (default: that of the checkpoint).
        batch: Images per batch (default: 32).
        progress: Called with the files done and all files after each batch.

    Raises:
        BadCheckpoint: If a logit is not finite.
        BadImages: If no image can be decoded.
    """
    preprocessing = preprocessing or trained.preprocessing
    answers = collect_logits([_wrap_float_model(trained, preprocessing)], images, preprocessing, batch, progress)
    (logits,) = answers.logits
    metrics.check_logits(logits, "The float model's logits", BadCheckpoint)
    return FloatReference(logits, answers.files, preprocessing, trained.sha256, answers.skipped)


def build_drift_row(
    float_logits: metrics.Logits,
    logits: metrics.Logits,
    labels: metrics.Labels | None,
    *,
    artifact: str,
    target: str,
    precision: str,
    execution: Execution,
    engine: str,
    artifact_sha256: str | None = None,
    skipped: int = 0,
    cpu: EmulatedCPU | None = None,
) -> DriftRow:
    """Compute the drift row from the logits of both models.

    Args:
        float_logits: Logits of the float model, shape (images, classes).
        logits: Logits of the artifact, same shape.
        labels: The labels, shape (images,); None if the images have none.
        artifact: The artifact's file name.
        target, precision, execution, engine, artifact_sha256, skipped, cpu: As in `DriftRow`.

    Raises:
        ShapeMismatch: If the shapes differ.
        BadArtifact: If a logit of the artifact is not finite.
        BadCheckpoint: If a logit of the float model is not finite.
        BadImages: If there are no images, or a label is not a class.
    """
    metrics.check_logits(logits, f"The logits of {artifact}", BadArtifact)
    unlabelled = DriftRow(
        artifact=artifact,
        target=target,
        precision=precision,
        how=execution,
        engine=engine,
        artifact_sha256=artifact_sha256,
        cpu=cpu,
        images=len(logits),
        skipped=skipped,
        agreement=estimate_proportion(metrics.compare_top1_classes(float_logits, logits)),
        sqnr_db=metrics.sqnr(float_logits, logits),
        max_abs_error=metrics.compute_max_abs_error(float_logits, logits),
        mean_kl=metrics.compute_mean_kl(float_logits, logits),
    )
    return unlabelled if labels is None else _add_accuracy(unlabelled, float_logits, logits, labels)


def _add_accuracy(
    unlabelled: DriftRow, float_logits: metrics.Logits, logits: metrics.Logits, labels: metrics.Labels
) -> DriftRow:
    """Return the row with the figures that need labels; top-5 only with more than five classes."""
    float_hits, hits = metrics.find_topk_hits(float_logits, labels, 1), metrics.find_topk_hits(logits, labels, 1)
    lost = int(np.count_nonzero(float_hits & ~hits))
    gained = int(np.count_nonzero(hits & ~float_hits))
    has_top5 = logits.shape[1] > 5
    accuracy = {
        "top1": estimate_proportion(hits),
        "float_top1": estimate_proportion(float_hits),
        "top5": estimate_proportion(metrics.find_topk_hits(logits, labels, 5)) if has_top5 else None,
        "float_top5": estimate_proportion(metrics.find_topk_hits(float_logits, labels, 5)) if has_top5 else None,
        "top1_drop": 100 * (lost - gained) / len(logits),
        "top1_drop_interval": compute_drop_interval(lost, gained, len(logits)),
        "mcnemar": compute_mcnemar_test(lost, gained),
    }
    return unlabelled.model_copy(update=accuracy)


@dataclass(frozen=True)
class _CollectedLogits:
    """The logits of some models for the same images: one array (images, classes) for each model."""

    logits: list[NDArray[np.float32]]
    labels: NDArray[np.int64] | None
    files: tuple[Path, ...]
    skipped: tuple[SkippedImages, ...]

    @property
    def skipped_count(self) -> int:
        return sum(group.count for group in self.skipped)


def collect_logits(
    models: Sequence[LogitsFunction],
    images: ImageSet,
    preprocessing: Preprocessing,
    batch: int,
    progress: ProgressCallback | None,
) -> _CollectedLogits:
    """Run all `models` in one pass over `images`.

    Raises:
        BadImages: If no image can be decoded.
    """
    parts: list[list[NDArray[np.float32]]] = [[] for _ in models]
    labels: list[NDArray[np.int64]] = []
    files: list[Path] = []
    skipped: list[SkippedImage] = []
    for chunk in iterate_batches(images, preprocessing, size=choose_batch_size(batch, preprocessing.size)):
        for model, part in zip(models, parts, strict=True):
            part.append(model(chunk.pixels))
        if chunk.labels is not None:
            labels.append(chunk.labels)
        files += chunk.files
        skipped += chunk.skipped
        if progress is not None:
            progress(len(files) + len(skipped), len(images))
    return _CollectedLogits(
        logits=[np.concatenate(part) for part in parts],
        labels=np.concatenate(labels) if labels else None,
        files=tuple(files),
        skipped=group_undecodable(images, skipped),
    )


def _wrap_float_model(trained: TrainedModel, preprocessing: Preprocessing) -> LogitsFunction:
    """Return a function from pixels (images, height, width, 3) to the float model's logits (images, classes)."""

    def run(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        batches = torch.split(
            torch.from_numpy(preprocessing.normalize(pixels)), choose_batch_size(BATCH, preprocessing.size)
        )
        with _use_eval_mode(trained.model), torch.inference_mode():
            return torch.cat(list(map_in_order(trained.model, batches))).numpy()

    return run


@contextmanager
def _use_eval_mode(model: nn.Module) -> Iterator[None]:
    """Put the model into eval mode inside the context, and restore the mode of each module afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _wrap_runner(runner: Runner, artifact: Artifact) -> LogitsFunction:
    """Return `runner.run` with a check that its logits have the shape (images, classes)."""
    classes = artifact.manifest.model.classes

    def run(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        logits = runner.run(pixels)
        if logits.shape != (len(pixels), classes):
            raise BadArtifact(
                f"{artifact.path.name} returns an output of shape {logits.shape} for {len(pixels)} images.",
                why=f"Its manifest says {classes} classes, so it should be ({len(pixels)}, {classes}).",
                hint="Export it again.",
            )
        return logits

    return run


def check_origin(artifact: Artifact, trained: TrainedModel) -> None:
    """Raise `BadArtifact` unless `artifact` was exported from `trained`."""
    exported_from, name = artifact.manifest.model, artifact.path.name
    if artifact.manifest.task != trained.task:
        raise BadArtifact(
            f"{name} was exported for the task {artifact.manifest.task}, and the model has the task {trained.task}.",
            why="Their outputs cannot be compared.",
            hint=f"Load the checkpoint with `task={artifact.manifest.task}`.",
            parameter="task",
        )
    if exported_from.checkpoint_sha256 != trained.sha256:
        raise BadArtifact(
            f"{name} was exported from another checkpoint.",
            why=f"Its manifest names {exported_from.source} with SHA-256 {exported_from.checkpoint_sha256[:12]}…; "
            f"{trained.source} has {trained.sha256[:12]}….",
            hint="Give the checkpoint it was exported from, or export it again from this one.",
        )
    if exported_from.classes != trained.classes:
        raise BadArtifact(
            f"{name} has {exported_from.classes} classes, {trained.source} has {trained.classes}.",
            why="Their logits cannot be compared.",
            hint="Export it again from this checkpoint.",
        )


def check_classes(images: ImageSet, artifact: Artifact, trained: TrainedModel) -> None:
    """Raise `BadImages` if the labels of `images` refer to other classes than the model's."""
    if images.labels is None:
        return
    if images.classes and images.classes not in (trained.labels, artifact.manifest.labels):
        raise BadImages(
            f"The images have other classes than the model: {format_list(images.classes)}.",
            why=f"The model's: {format_list(trained.labels)}. The same index would mean different classes.",
            hint="Open the images with the model's labels: open_images(path, labels=trained.labels).",
        )
    metrics.check_labels(np.array(images.labels), len(images), trained.classes)


def check_reference(reference: FloatReference, trained: TrainedModel, preprocessing: Preprocessing) -> None:
    """Raise `ConflictingParameters` if `reference` is of another checkpoint or preprocessing."""
    if reference.checkpoint_sha256 != trained.sha256:
        raise ConflictingParameters(
            "`reference` contains the logits of another checkpoint.",
            why=f"Its SHA-256 is {reference.checkpoint_sha256[:12]}…; {trained.source} has {trained.sha256[:12]}….",
            hint="Compute it again: compute_float_reference(trained, images).",
            parameter="reference",
        )
    if reference.preprocessing != preprocessing:
        raise ConflictingParameters(
            "`reference` was computed with another preprocessing than the artifact's.",
            why=f"It is {reference.preprocessing}, the artifact's manifest says {preprocessing}.",
            hint="Compute it again with `preprocessing=artifact.manifest.preprocessing`.",
            parameter="reference",
        )


def check_same_images(reference: FloatReference, answers: _CollectedLogits) -> None:
    """Raise `BadImages` if the float model saw other images than the artifact, or in another order."""
    if reference.files != answers.files:
        raise BadImages(
            f"`reference` contains {len(reference.files)} images; the artifact saw {len(answers.files)}, not the same.",
            why="Both models must see the same images in the same order.",
            hint="Compute it again from these images: compute_float_reference(trained, images).",
            parameter="reference",
        )

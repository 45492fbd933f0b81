"""The options that workflows share, in groups, with the one set of defaults; and what they mean."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shvit_mobile.contracts.manifest import TASKS, Task
from shvit_mobile.contracts.outputs import check_overwrite
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.contracts.preprocessing import ChannelOrder, Interpolation, Padding, Preprocessing, ResizeMode
from shvit_mobile.contracts.recipe import (
    ACTIVATION_SCHEMES,
    OBSERVERS,
    PASS_NAMES,
    PTQ_PASSES,
    ActivationScheme,
    ObserverName,
    PTQPassName,
    Recipe,
)
from shvit_mobile.errors import ConflictingParameters, InvalidValue, MissingParameter, NotSupported, parse_choice
from shvit_mobile.pipeline import defaults
from shvit_mobile.pipeline.defaults import DEMOS, Demo

if TYPE_CHECKING:
    from shvit_mobile.drift.gates import Gate
    from shvit_mobile.families.trained_model import TrainedModel
    from shvit_mobile.images.image_set import ImageSet

# The percentile and mse observers cut off outliers; too few images do not tell which values are outliers.
_MIN_IMAGES_FOR_MSE = 32
# With fewer, the ranges of other images may be larger.
_MIN_CALIBRATION_IMAGES = 100
_LIMITS = ("max_drop", "min_agreement", "min_top1", "min_sqnr", "min_box_agreement")
# The tasks for which an option means something; other options mean something for all.
_TASKS_OF_OPTIONS: dict[str, tuple[Task, ...]] = {
    "labels_csv": ("classify",),
    "labels_coco": ("detect",),
    "min_agreement": ("classify",),
    "min_top1": ("classify",),
    "max_drop": ("classify", "detect"),
    "min_box_agreement": ("detect",),
}
# Why an option means nothing for a task, and what does instead.
_INSTEAD: dict[Task, tuple[str, str]] = {
    "classify": (
        "A classifier finds no boxes.",
        "Limit the drop of top-1 or the agreement: `max_drop`, `min_agreement`.",
    ),
    "features": ("Maps have no classes and no boxes.", "Limit the SQNR of each map: `min_sqnr=25`."),
    "detect": (
        "A detector finds boxes, and a picture has several.",
        "Give boxes by `labels_coco`; limit the drop of AP, the boxes that both find, or the SQNR of each map: "
        "`max_drop`, `min_box_agreement`, `min_sqnr=25`.",
    ),
}


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model, and how it sees pictures.

    Attributes:
        checkpoint: A file, a folder, an https address, a hub id, a variant of the authors' release, or a model that is
            loaded or wrapped already (default: the embedded demo model of the task).
        weights: Which of several models in the file, by the keys that lead to it (default: the first that is not an
            average).
        sha256: The SHA-256 that the file must have; an https address needs it.
        variant: The variant that the checkpoint must be, or "timm:" and timm's name of another model.
        task: "classify" for logits, "features" for the map of each stage, without the classifier, "detect" for the raw
            maps of a detector.
        labels: Class names in the order of the logits, or a file of them as `read_labels` says (default: the
            checkpoint's own).
        size: (height, width) in pixels (default: the checkpoint's own).
        crop: The share of the resized picture that the crop keeps (default: the checkpoint's own).
        mean, std: Of each channel, in units of 0 to 1 (default: the checkpoint's own).
        resize_mode, interpolation, channel_order: As in `Preprocessing` (default: the checkpoint's own).
        padding, padding_value: Those of a letterbox, which crops nothing (default: the checkpoint's own).

    Raises:
        InvalidValue, UnknownChoice: If a field of the preprocessing is out of range.
    """

    checkpoint: AnyPath | TrainedModel | None = None
    weights: str | None = None
    sha256: str | None = None
    variant: str | None = None
    task: Task = "classify"
    labels: AnyPath | Sequence[str] | None = None
    size: tuple[int, int] | None = None
    crop: float | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    resize_mode: ResizeMode | None = None
    interpolation: Interpolation | None = None
    channel_order: ChannelOrder | None = None
    padding: Padding | None = None
    padding_value: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        parse_choice(self.task, TASKS, "task")
        if self.task == "features" and self.labels is not None:
            raise ConflictingParameters(
                "`labels` is given with `task=features`.", why="Feature maps have no classes.", parameter="labels"
            )
        given = self._list_preprocessing()
        # Whether the checkpoint's own mode is padded is not known yet.
        Preprocessing(**given if self.resize_mode else {name: given[name] for name in given if "padding" not in name})

    def _list_preprocessing(self) -> dict[str, Any]:
        """Return the fields of the preprocessing that are given."""
        names = ("size", "mean", "std", "resize_mode", "interpolation", "channel_order", "padding", "padding_value")
        whole = 1.0 if self.resize_mode == "letterbox" else None
        given = {name: getattr(self, name) for name in names} | {"crop_ratio": self.crop or whole}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def demo(self) -> Demo | None:
        """The embedded demo model of the task, if no checkpoint is given."""
        return DEMOS[self.task] if self.checkpoint is None else None

    def load_model(self) -> TrainedModel:
        """Load the checkpoint with these labels and this preprocessing.

        Raises:
            MissingParameter: If `variant` is given without `checkpoint`.
            InvalidValue: As `read_labels`.
            BadCheckpoint, HubUnavailable, OSError: As `load_checkpoint`.
        """
        if self.checkpoint is None and self.variant is not None:
            raise MissingParameter(
                f"`variant='{self.variant}'` is given without `checkpoint`.",
                why="It says which variant a checkpoint must be.",
                hint=f"For the authors' weights: `checkpoint={self.variant}`.",
                parameter="checkpoint",
            )

        from shvit_mobile.families.checkpoints import load_checkpoint
        from shvit_mobile.families.trained_model import TrainedModel, build_features, override_preprocessing
        from shvit_mobile.images.label_files import read_labels

        named = None if self.labels is None else read_labels(self.labels)
        if isinstance(self.checkpoint, TrainedModel):
            trained = self._relabel(self.checkpoint, None if named is None else named.labels)
        else:
            trained = load_checkpoint(
                DEMOS[self.task].checkpoint if self.checkpoint is None else os.fspath(self.checkpoint),
                variant=self.variant,
                labels=None if named is None else named.labels,
                weights=self.weights,
                sha256=self.sha256,
                task=self.task,
            )
        if named is not None:
            trained = replace(trained, notes=(*trained.notes, *named.notes))
        if self.task == "features":
            trained = build_features(trained)
        return override_preprocessing(trained, self._list_preprocessing())

    def _relabel(self, trained: TrainedModel, labels: Sequence[str] | None) -> TrainedModel:
        """Return a model that is loaded already, with other labels if they are given."""
        from shvit_mobile.families.metadata import check_labels

        for name in ("variant", "weights", "sha256"):
            if getattr(self, name) is not None:
                raise ConflictingParameters(
                    f"`{name}` is given with a loaded model.", why="It says how a file is read.", parameter=name
                )
        if labels is None:
            return trained
        return replace(trained, labels=check_labels(labels, trained.classes, InvalidValue, "There are"))


@dataclass(frozen=True, kw_only=True)
class CalibrationOptions:
    """How static int8 is calibrated.

    Attributes:
        calibration: A folder of images like those the app will see, or an `ImageSet` (default: the demo's images, for
            the demo model only).
        calibration_count: How many of them to use.
        balanced: Sample them evenly over the classes, where they lie in a folder for each.
        observer: How ranges follow from values (default: "mse", or "min-max" for fewer than 32 images).
        activations: How int8 spreads over a range.
        passes: The PTQ passes to try, each kept only where it helps; empty for plain int8.
        seed: The seed for sampling images.
    """

    calibration: AnyPath | ImageSet | None = None
    calibration_count: int = defaults.CALIBRATION_COUNT
    balanced: bool = True
    observer: ObserverName | None = None
    activations: ActivationScheme = "affine"
    passes: Sequence[str] = PTQ_PASSES
    seed: int = 0

    def open_calibration_images(self, demo: Demo | None) -> ImageSet:
        """Return all images that `calibration` names; an embedded demo model (`demo`) has images of its own.

        Raises:
            MissingParameter: If no images are given and the model is not the demo's.
            BadImages: As `open_images`.
        """
        source = demo.calibration if demo and self.calibration is None else self.calibration
        if source is None:
            raise MissingParameter(
                "Static int8 needs images for `calibration`.",
                why="It fixes the range of every activation in advance, and measures it on real images.",
                hint="Give a folder with a hundred or more images like those the app will see.",
                parameter="calibration",
            )
        return open_given(source, parameter="calibration")

    def sample_calibration_images(self, images: ImageSet) -> ImageSet:
        """Return the images to calibrate on, out of all that `calibration` names."""
        return images.sample(self.calibration_count, self.seed, balanced=self.balanced)

    def list_calibration_notes(self, recipe: Recipe) -> tuple[str, ...]:
        """Return a sentence if a calibration used fewer images than it was given, or than it should."""
        images = recipe.calibration
        if images is None or images.use is None or images.use.is_complete:
            return ()
        sentence = f"Calibration: {images.use.describe(images.source)}"
        if images.count < _MIN_CALIBRATION_IMAGES and images.count != images.use.requested:
            return (f"{sentence} Give a hundred or more, so that no range is too small.",)
        requested = self.calibration_count != defaults.CALIBRATION_COUNT
        return (sentence,) if images.use.skipped or requested else ()

    def check_calibration_options(self) -> None:
        """Raise `UnknownChoice` or `InvalidValue` if an option that only a calibration reads cannot be followed."""
        self.resolve_passes()
        parse_choice(self.activations, ACTIVATION_SCHEMES, "activation scheme")
        if self.observer is not None:
            parse_choice(self.observer, OBSERVERS, "observer")

    def resolve_passes(self) -> tuple[PTQPassName, ...]:
        """Return `passes` by the names that recipes use, in the order in which they run.

        Raises:
            UnknownChoice: If one of them is no pass.
        """
        recipe_names: dict[str, PTQPassName] = {PASS_NAMES[name]: name for name in PTQ_PASSES}
        chosen = {
            recipe_names.get(name) or parse_choice(name, (*recipe_names, *PTQ_PASSES), "PTQ pass")
            for name in self.passes
        }
        return tuple(name for name in PTQ_PASSES if name in chosen)

    def choose_observer(self, images: int) -> ObserverName:
        """Return `observer`, or the one that suits a number of images."""
        return self.observer or ("mse" if images >= _MIN_IMAGES_FOR_MSE else "min-max")


@dataclass(frozen=True, kw_only=True)
class GateOptions:
    """Which images artifacts are compared on, and how much drift is allowed.

    Attributes:
        validation: A folder with a folder for each class, or an `ImageSet`; without labels, only agreement is measured.
        labels_csv: A CSV of file and label for these images.
        labels_coco: A COCO annotation file with the boxes in these images, for detectors.
        validation_count: How many of them to use (default: all).
        validation_seed: The seed for sampling them.
        max_drop: How many points of top-1, or of a detector's average precision, may be lost, 0 to 100; needs labels.
        min_agreement: The share of images on which artifact and float model must choose the same class, 0 to 1.
        min_top1: The share of images that artifacts must get right, 0 to 1; needs labels.
        min_sqnr: The SQNR, in dB, that the logits or each map must have at least.
        min_box_agreement: Of the boxes that a detector or its float model finds, the share that both must find, 0 to 1.
        accept_baseline: Accept a float model whose top-1 on these images is no better than chance, or a detector that
            finds almost none of their boxes.
    """

    validation: AnyPath | ImageSet | None = None
    labels_csv: AnyPath | None = None
    labels_coco: AnyPath | None = None
    validation_count: int | None = None
    validation_seed: int = 0
    max_drop: float | None = None
    min_agreement: float | None = None
    min_top1: float | None = None
    min_sqnr: float | None = None
    min_box_agreement: float | None = None
    accept_baseline: bool = False

    @property
    def gate(self) -> Gate | None:
        """The gate, or None where no limit is set.

        Raises:
            InvalidValue: If a limit is out of range.
        """
        limits = {name: getattr(self, name) for name in _LIMITS}
        if all(limit is None for limit in limits.values()):
            return None

        from shvit_mobile.drift.gates import Gate

        return Gate(**limits)

    def check_task(self, task: Task) -> None:
        """Raise `NotSupported` if an option is given that means nothing for the task."""
        for name, tasks in _TASKS_OF_OPTIONS.items():
            if getattr(self, name) is not None and task not in tasks:
                why, hint = _INSTEAD[task]
                raise NotSupported(f"`{name}` is given for the task {task}.", why=why, hint=hint, parameter=name)

    def resolve_validation(self, demo: Demo | None) -> AnyPath | ImageSet | None:
        """Return what to compare on: for a demo model with a gate its own images, where no others are given.

        Raises:
            MissingParameter: If a gate or an option about these images is given, and there are none.
        """
        if self.validation is not None:
            return self.validation
        if self.gate and demo:
            return demo.validation
        named = {name: getattr(self, name) for name in ("labels_csv", "labels_coco", "validation_count")}
        reason = next((f"`{name}` is given" for name, value in named.items() if value is not None), None)
        if reason or self.gate:
            raise MissingParameter(
                f"{reason or 'A gate is set'} without `validation`.",
                why="Drift is measured on images.",
                hint="Give a folder of images for `validation`, with a folder for each class.",
                parameter="validation",
            )
        return None

    def open_validation_images(
        self, source: AnyPath | ImageSet, labels: Sequence[str], task: Task = "classify"
    ) -> ImageSet:
        """Return the images to compare on, with what the task can be held against: classes among `labels`, or boxes.

        Raises:
            MissingParameter: If the gate needs labels and the images have none.
            ConflictingParameters: If `labels_coco` is given with an `ImageSet`.
            BadImages: As `open_images` and `open_coco_images`.
            ToolMissing: As `open_coco_images`.
        """
        images = (
            open_given(source, labels or None, self.labels_csv, parameter="validation")
            if task == "classify"
            else self._open_without_classes(source, labels)
        )
        known, option, instead = (
            (images.labels, "labels_csv", "put them in a folder for each class, or use `min_agreement`")
            if task == "classify"
            else (images.true_boxes, "labels_coco", "or use `min_box_agreement`")
        )
        if self.gate and self.gate.label_limit and known is None:
            raise MissingParameter(
                f"`{self.gate.label_limit}` is given, but the images in {images.root} have no labels.",
                why="Without labels the right answers are unknown.",
                hint=f"Give `{option}`, {instead}.",
                parameter=option,
            )
        count = self.validation_count
        if count is None:
            return images
        return replace(images, requested=count) if count >= len(images) else images.sample(count, self.validation_seed)

    def _open_without_classes(self, source: AnyPath | ImageSet, labels: Sequence[str]) -> ImageSet:
        """Return the images for maps, with their boxes if these are given."""
        from shvit_mobile.images.image_set import ImageSet

        # The scenes of the demo have their boxes beside them.
        demo = DEMOS["detect"]
        boxes = demo.boxes if labels and self.labels_coco is None and source == demo.validation else self.labels_coco
        if boxes is None:
            images = open_given(source, parameter="validation")
            return replace(images, labels=None, classes=(), mapping=images.mapping if images.true_boxes else None)
        if isinstance(source, ImageSet):
            raise ConflictingParameters(
                "`labels_coco` is given with an `ImageSet`.",
                why="It says which pictures of a folder there are.",
                hint="Give the folder, or what shvit_mobile.images.coco_boxes.open_coco_images returns, alone.",
                parameter="labels_coco",
            )

        from shvit_mobile.images.coco_boxes import open_coco_images

        return open_coco_images(source, boxes, labels)


def open_given(
    source: AnyPath | ImageSet,
    labels: Sequence[str] | None = None,
    csv: AnyPath | None = None,
    *,
    parameter: str = "images",
) -> ImageSet:
    """Return `source` itself if it is an `ImageSet`, else the images in that folder or file."""
    from shvit_mobile.images.image_set import ImageSet, open_images

    return source if isinstance(source, ImageSet) else open_images(source, labels=labels, csv=csv, parameter=parameter)


def check_positive(**counts: int | None) -> None:
    """Raise `InvalidValue` for a count below 1."""
    for name, count in counts.items():
        if count is not None and count < 1:
            raise InvalidValue(f"`{name}` is {count}.", why="It is at least 1.", parameter=name)


def check_output_file(path: AnyPath | None, *, overwrite: bool) -> None:
    """Raise where a file could not be written; ask before the work begins.

    Raises:
        OutputExists: If it is there and `overwrite` is not set, or is not a plain file.
        UnwritableOutput: If it lies where nothing can be written.
    """
    if path is not None:
        check_overwrite(Path(path), overwrite=overwrite)

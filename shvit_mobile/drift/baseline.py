"""Checks that the float model recognizes labelled images: where it does not, no figure of drift means anything."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.drift_report import GateVerdict
from shvit_mobile.contracts.preprocessing import IMAGENET_MEAN, IMAGENET_STD, ChannelOrder, Preprocessing
from shvit_mobile.drift.compare import FloatReference, compute_float_reference
from shvit_mobile.drift.intervals import compute_binomial_tail
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.image_set import ImageSet

# The level of both tests: that the model is no better than chance, and that it is halfway from chance to perfect.
_LEVEL = 0.01
# The AP at an IoU of 0.5, in percent, below which a detector finds almost nothing: chance has no share here.
MIN_FLOAT_AP50 = 5.0
# Other preprocessing is tried on this many images, in fewer seconds than the float model takes for all of them.
_TRIAL_COUNT = 100
_CAUSES = "Likely causes: the order of the classes, mean and std, the order of the channels, the image size."
_NORMALIZATIONS = (
    (IMAGENET_MEAN, IMAGENET_STD),
    ((0.5,) * 3, (0.5,) * 3),
    ((0.0,) * 3, (1.0,) * 3),
    ((0.0,) * 3, (1 / 255,) * 3),
)
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Baseline:
    """How many labelled images the float model gets right, and how many it would by chance.

    Attributes:
        hits, images: The numbers of images that it gets right, and of all.
        chance: The share that predictions as frequent as its own, but regardless of the image, would get right.
    """

    hits: int
    images: int
    chance: float

    @property
    def is_above_chance(self) -> bool:
        """Whether a binomial test rejects that the model answers regardless of the image."""
        return _is_above(self.hits, self.images, self.chance)

    @property
    def is_poor(self) -> bool:
        """Whether the model is not above chance, and a test rejects that it is halfway from chance to perfect."""
        halfway = (1 + self.chance) / 2
        return not self.is_above_chance and compute_binomial_tail(self.hits, self.images, halfway) <= _LEVEL


def measure_baseline(predictions: Indices, labels: Indices, classes: int) -> Baseline:
    """Compare predictions with labels, both class indices of shape (images,).

    Chance is the sum over classes of the share of predictions times the share of labels, and at least one of all
    classes. If all images have the same label, that sum says nothing, and chance is one of all classes.
    """
    hits, images = int(np.count_nonzero(predictions == labels)), len(labels)
    shares = [np.bincount(indices, minlength=classes) / images for indices in (predictions, labels)]
    expected = float(shares[0] @ shares[1]) if len(np.unique(labels)) > 1 else 0.0
    return Baseline(hits, images, max(expected, 1 / classes))


def check_baseline(
    trained: TrainedModel, images: ImageSet, reference: FloatReference, *, accept: bool = False
) -> GateVerdict | None:
    """Return the verdict on the float model itself; None where it recognizes the images, or they have no labels.

    It fails if top-1 is not significantly above chance, or if the model takes most classes for others, each for one.
    The sentence names what would help, if something that can be tried does: another order of the classes or channels,
    other mean and std, another size.

    Args:
        images: The images, labelled with the model's classes.
        reference: The logits of the float model for these images.
        accept: Only note what is wrong.

    Raises:
        BadImages, BadCheckpoint: As `compute_float_reference`.
    """
    classes = reference.logits.shape[1]
    if images.labels is None or classes < 2:
        return None
    known = dict(zip(images.files, images.labels, strict=True))
    labels = np.array([known[file] for file in reference.files])
    predictions = reference.logits.argmax(1)
    found = measure_baseline(predictions, labels, classes)
    right = f"The float model gets {found.hits} of {found.images} labelled images right"
    chance = f"chance is {100 * found.chance:.3g}%"
    reordered = _describe_other_order(predictions, labels, trained.labels)
    if found.is_poor:
        help = reordered or _describe_other_preprocessing(trained, images, reference.preprocessing, found)
        sentence = f"{right}, not significantly more than chance ({chance}). {help or _CAUSES}"
    elif reordered:
        sentence = f"{right}. {reordered}"
    elif not found.is_above_chance:
        return GateVerdict.from_findings(caveats=[f"{right}: too few images to tell it from chance ({chance})."])
    else:
        return None
    if accept:
        return GateVerdict.from_findings(caveats=[f"Accepted: {sentence}"])
    return GateVerdict.from_findings([sentence])


def check_detector_baseline(
    float_ap50: float, true_boxes: int, images: int, *, accept: bool = False
) -> GateVerdict | None:
    """Return the verdict on a float detector itself; None where it finds the boxes that the images have.

    Args:
        float_ap50: Its average precision at an IoU of 0.5, in percent.
        true_boxes, images: The numbers of boxes and of images that this was measured on.
        accept: Only note what is wrong.
    """
    if float_ap50 >= MIN_FLOAT_AP50:
        return None
    sentence = (
        f"The float model finds almost none of the {true_boxes} boxes in {images} images: its AP at an IoU of 0.5 is "
        f"{float_ap50:.2f}%, less than {MIN_FLOAT_AP50:g}%. Likely causes: the names of the categories, the order of "
        "the classes, mean and std, the order of the channels, the image size."
    )
    if accept:
        return GateVerdict.from_findings(caveats=[f"Accepted: {sentence}"])
    return GateVerdict.from_findings([sentence])


def _is_above(hits: int, images: int, share: float) -> bool:
    """Whether the number of hits is significantly above `share`."""
    return compute_binomial_tail(images - hits, images, 1 - share) <= _LEVEL


def _describe_other_order(predictions: Indices, labels: Indices, names: tuple[str, ...]) -> str:
    """Describe an order of the classes with which the model gets at least half of the images right, twice as many.

    Half of the images say which class each is taken for; the others are counted.
    """
    meant: dict[int, int] = {}
    pairs, counts = np.unique(np.stack([labels[::2], predictions[::2]], axis=1), axis=0, return_counts=True)
    for label, prediction in pairs[np.argsort(-counts, kind="stable")].tolist():
        if label not in meant and prediction not in meant.values():
            meant[label] = prediction
    answers, truth = predictions[1::2], labels[1::2]
    hits = answers == truth
    others = answers == np.array([meant.get(label, -1) for label in truth.tolist()])
    gained, lost = int(np.count_nonzero(others & ~hits)), int(np.count_nonzero(hits & ~others))
    more = int(np.count_nonzero(others))
    if 2 * more < max(len(truth), 4 * int(np.count_nonzero(hits))) or not _is_above(gained, gained + lost, 0.5):
        return ""
    moved = [(label, prediction) for label, prediction in sorted(meant.items()) if label != prediction]
    half = len(names) // 2
    shift = {(prediction - label + half) % len(names) - half for label, prediction in moved}
    first = "; ".join(f"'{names[label]}' is taken for '{names[prediction]}'" for label, prediction in moved[:3])
    by = f" (each index differs by {shift.pop():+d})" if len(shift) == 1 and len(moved) > 2 else ""
    return (
        f"The order of the classes is likely wrong{by}: {first}{'; …' if len(moved) > 3 else ''}. "
        f"In that order it gets {more} of {len(truth)} right."
    )


def _describe_other_preprocessing(
    trained: TrainedModel, images: ImageSet, preprocessing: Preprocessing, found: Baseline
) -> str:
    """Describe the best preprocessing with which the model gets at least twice as many right; "" if none does."""
    some = images.sample(min(_TRIAL_COUNT, len(images)), 0)
    known = dict(zip(some.files, some.labels or (), strict=True))
    helps: list[tuple[float, str]] = []
    for name, changed in _list_other_preprocessing(trained, preprocessing):
        other = compute_float_reference(trained, some, preprocessing=changed)
        labels = np.array([known[file] for file in other.files])
        tried = measure_baseline(other.logits.argmax(1), labels, other.logits.shape[1])
        if tried.is_above_chance and tried.hits * found.images >= 2 * found.hits * tried.images:
            helps.append((tried.hits / tried.images, f"With {name} it gets {tried.hits} of {tried.images} right."))
    return max(helps, key=lambda pair: pair[0], default=(0.0, ""))[1]


def _list_other_preprocessing(
    trained: TrainedModel, preprocessing: Preprocessing
) -> Iterator[tuple[str, Preprocessing]]:
    """Yield what else the model may have been trained with, and how it is said."""
    order: ChannelOrder = "bgr" if preprocessing.channel_order == "rgb" else "rgb"
    yield f"channel order {order}", replace(preprocessing, channel_order=order)
    for mean, std in _NORMALIZATIONS:
        if (mean, std) != (preprocessing.mean, preprocessing.std):
            text = f"mean {' '.join(f'{value:g}' for value in mean)} and std {' '.join(f'{value:g}' for value in std)}"
            yield text, replace(preprocessing, mean=mean, std=std)
    for side in dict.fromkeys((trained.family.native_sizes.get(trained.variant, 224), 224)):
        if preprocessing.size != (side, side):
            yield f"size {side}", replace(preprocessing, size=(side, side))

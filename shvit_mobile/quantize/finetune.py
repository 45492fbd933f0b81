"""Quantization-aware fine-tuning, the last resort: training adapts int8 layers to the ranges of a recipe.

They learn from labels and, with more weight, from the float model's logits. The result is a recipe with overrides.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from math import cos, inf, pi
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shvit_mobile.contracts.image_use import ImageUse
from shvit_mobile.contracts.recipe import CalibrationImages, EvalMetrics, FineTuning, Recipe
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.wiring import get_layer_path
from shvit_mobile.errors import BadImages, BadRecipe, InvalidValue, NotSupported
from shvit_mobile.images.accounting import replace_invalid_utf8
from shvit_mobile.images.batches import SkippedImage, group_undecodable, iterate_batches
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.metrics import compute_agreement, find_topk_hits, sqnr
from shvit_mobile.progress import StepCallback
from shvit_mobile.quantize.affine import WEIGHT_MAX
from shvit_mobile.quantize.layers import check_recipe_layers
from shvit_mobile.quantize.overrides import ParameterOverrides
from shvit_mobile.quantize.qat_graph import TrainingGraph, build_training_graph
from shvit_mobile.threads import BATCH, map_in_order, use_one_thread_per_kernel

# The share of the images that is held out, at most how many; and the fewest images that are enough.
HELD_OUT_SHARE, MAX_HELD_OUT, MIN_IMAGES = 0.2, 500, 10
# The weight of the labels in the loss: the float model's logits hold more information, and int8 is compared with them.
_LABEL_LOSS_WEIGHT = 0.2
# Logits are divided by it in the loss, so that unlikely classes count (Hinton et al., 2015).
_TEMPERATURE = 2.0
# Suits a recipe that loses little; one that loses much needs ten times as much.
_LEARNING_RATE = 0.01


@dataclass(frozen=True)
class FinetuneSettings:
    """The settings of a training.

    Attributes:
        epochs: How many times to train on each image.
        count: How many images to use, balanced over classes, including those held out.
        batch: Images per update.
        learning_rate: The initial learning rate, in int8 steps per update; it falls to 0 along a cosine.
        flip: Mirror images at random.
        seed: Seed for sampling, order and mirroring.
        device: "cpu", "cuda" and so on (default: a GPU if there is one).

    Raises:
        InvalidValue: If a value is out of range.
    """

    epochs: int = 3
    count: int = 1000
    batch: int = 16
    learning_rate: float = _LEARNING_RATE
    flip: bool = False
    seed: int = 0
    device: str | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "count", "batch"):
            if getattr(self, name) < 1:
                raise InvalidValue(f"`{name}` is {getattr(self, name)}.", why="It is at least 1.", parameter=name)
        if not 0 < self.learning_rate <= WEIGHT_MAX:
            raise InvalidValue(
                f"`learning_rate` is {self.learning_rate:g}.",
                why=f"It is in int8 steps per update: above 0 and at most {WEIGHT_MAX}, the whole range of a weight.",
                hint=f"Try `learning_rate={_LEARNING_RATE:g}`.",
                parameter="learning_rate",
            )


@dataclass(frozen=True)
class _EpochResult:
    """The mean loss of an epoch, and the metrics on the held-out images after it."""

    loss: float
    metrics: EvalMetrics


@dataclass(frozen=True, eq=False)
class FinetuneResult:
    """The result of a fine-tuning.

    Attributes:
        recipe: The recipe of the best epoch.
        overrides: Its overrides.
        before: The metrics on the held-out images before training.
        epochs: The results of all epochs.
        best: The index of the recipe's epoch in `epochs`.
        use: How many images there were, and which were not used.
    """

    recipe: Recipe
    overrides: ParameterOverrides
    before: EvalMetrics
    epochs: tuple[_EpochResult, ...]
    best: int
    use: ImageUse

    @property
    def skipped(self) -> int:
        """The number of files that cannot be used."""
        return self.use.skipped_count

    @property
    def after(self) -> EvalMetrics:
        return self.epochs[self.best].metrics

    @property
    def is_improvement(self) -> bool:
        return self.after.is_better_than(self.before)


def finetune_recipe(
    deployed: DeployForm,
    recipe: Recipe,
    images: ImageSet,
    settings: FinetuneSettings | None = None,
    *,
    overrides: ParameterOverrides | None = None,
    progress: StepCallback | None = None,
) -> FinetuneResult:
    """Train the int8 layers of a recipe; on a CPU, the same settings and threads give the same bytes.

    Args:
        deployed: The model; its float layers do not change.
        recipe: A recipe of static int8.
        images: Images labelled with the model's classes. A fifth is held out; the result is the epoch that is nearest
            to the float model on it.
        settings: How to train.
        overrides: The recipe's overrides, if it has any.
        progress: Called with the step, and the images that are done and their total.

    Raises:
        BadRecipe: If the recipe is not static int8, keeps every layer float, or belongs to another model.
        BadImages: If the images have no labels or other classes, or are too few.
        NotSupported: If the device is not available, or the model is no classifier.
    """
    settings = settings or FinetuneSettings()
    if deployed.trained.task != "classify":
        raise NotSupported(
            f"{deployed.trained.variant} cannot be fine-tuned for the task {deployed.trained.task}.",
            why="Fine-tuning learns from the classes of images.",
            hint="Fine-tune the classifier, or calibrate the maps with PTQ passes.",
            parameter="task",
        )
    _check_recipe(deployed, recipe)
    _check_images(deployed, images)
    sample = images.sample(settings.count, settings.seed)
    return _FinetuneTrainer(deployed, recipe, overrides, sample, settings, progress).train()


class _FinetuneTrainer:
    """A fine-tuning in progress."""

    def __init__(
        self,
        deployed: DeployForm,
        recipe: Recipe,
        overrides: ParameterOverrides | None,
        images: ImageSet,
        settings: FinetuneSettings,
        progress: StepCallback | None,
    ) -> None:
        self.deployed, self.recipe, self.settings, self.progress = deployed, recipe, settings, progress
        self.train_images, self.held_out_images = split_held_out(images)
        self.device = _select_device(settings.device)
        self.student: TrainingGraph = build_training_graph(deployed, recipe, overrides, self.device)
        self.teacher = deepcopy(deployed.module).to(self.device)
        self.optimizer = torch.optim.Adam(self.student.parameters, lr=settings.learning_rate)
        self.updates = settings.epochs * -(-len(self.train_images) // settings.batch)
        self.update = 0
        self.images = images
        self.skipped: dict[Path, SkippedImage] = {}

    @use_one_thread_per_kernel()
    def train(self) -> FinetuneResult:
        """Train all epochs."""
        before = self.evaluate("Measuring the recipe as it is")
        epochs: list[_EpochResult] = []
        best, kept = 0, ParameterOverrides()
        for number in range(self.settings.epochs):
            name = f"Epoch {number + 1} of {self.settings.epochs}"
            loss = self.train_epoch(number, name)
            epochs.append(_EpochResult(loss, self.evaluate(f"{name}, measured")))
            if number == 0 or epochs[number].metrics.is_better_than(epochs[best].metrics):
                best, kept = number, self.student.export_overrides()
        use = self.account(replace(self.train_images, requested=None))
        finetuning = FineTuning(
            images=CalibrationImages(
                source=replace_invalid_utf8(self.train_images.root.absolute().name),
                count=use.used,
                sha256=self.train_images.compute_sha256(),
                seed=self.settings.seed,
                use=use,
            ),
            held_out=len(self.held_out_images),
            epochs=best + 1,
            learning_rate=self.settings.learning_rate,
            before=before,
            after=epochs[best].metrics,
        )
        recipe = self.recipe.model_copy(update={"finetuning": finetuning, "corrections": kept.sha256})
        return FinetuneResult(recipe, kept, before, tuple(epochs), best, self.account(self.images))

    def account(self, images: ImageSet) -> ImageUse:
        """Return the account of some of the images."""
        files = set(images.files)
        return images.account(
            group_undecodable(images, [image for image in self.skipped.values() if image.file in files])
        )

    def train_epoch(self, number: int, name: str) -> float:
        """Train on each image once; return the mean loss."""
        rng = np.random.default_rng((self.settings.seed % 2**32, number))
        shuffled = self.train_images.select(rng.permutation(len(self.train_images)).tolist())
        total = count = 0.0
        for pixels, labels in self.iterate_batches(shuffled, name):
            if self.settings.flip:
                mirrored = torch.from_numpy(rng.random(len(pixels)) < 0.5).to(self.device)
                pixels = torch.where(mirrored[:, None, None, None], pixels.flip(3), pixels)
            total += self.train_step(pixels, labels) * len(pixels)
            count += len(pixels)
        return total / count

    def train_step(self, pixels: Tensor, labels: Tensor) -> float:
        """Update once; return the loss.

        The gradients are those of the whole batch. On the CPU they are sums over parts of it that run at once.
        """

        def compute_gradients(part: tuple[Tensor, Tensor]) -> tuple[float, tuple[Tensor, ...]]:
            with torch.no_grad():
                expected = self.teacher(part[0])
            loss = _compute_loss(self.student.module(part[0]), expected, part[1]) * (len(part[0]) / len(pixels))
            return loss.item(), torch.autograd.grad(loss, self.student.parameters, materialize_grads=True)

        size = BATCH if self.device.type == "cpu" else len(pixels)
        parts = zip(torch.split(pixels, size), torch.split(labels, size), strict=True)
        losses, gradients = zip(*map_in_order(compute_gradients, parts), strict=True)
        rate = self.settings.learning_rate * (1 + cos(pi * self.update / self.updates)) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        for parameter, *summands in zip(self.student.parameters, *gradients, strict=True):
            parameter.grad = sum(summands[1:], start=summands[0])
        self.optimizer.step()
        self.update += 1
        return sum(losses)

    @torch.no_grad()
    def evaluate(self, name: str) -> EvalMetrics:
        """Compute the metrics on the held-out images."""

        def compute_logits(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
            return self.student.module(batch[0]).cpu(), self.teacher(batch[0]).cpu(), batch[1].cpu()

        batches = self.iterate_batches(self.held_out_images, name)
        actual, expected, truth = zip(*map_in_order(compute_logits, batches), strict=True)
        return compute_metrics(torch.cat(actual), torch.cat(expected), torch.cat(truth))

    def iterate_batches(self, images: ImageSet, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches of the deploy form's input and their labels, on the device."""
        progress = None if self.progress is None else partial(self.progress, name)
        preprocessing, size = self.deployed.trained.preprocessing, self.settings.batch
        for batch in iterate_batches(images, preprocessing, size=size, progress=progress):
            self.skipped |= {skipped.file: skipped for skipped in batch.skipped}
            yield self.deployed.prepare(batch.pixels).to(self.device), torch.from_numpy(batch.labels).to(self.device)


def _compute_loss(logits: Tensor, expected: Tensor, labels: Tensor) -> Tensor:
    """Compute the training loss: the divergence from the float model's logits, and the cross-entropy of the labels."""
    soft = F.log_softmax(logits / _TEMPERATURE, 1), F.log_softmax(expected / _TEMPERATURE, 1)
    distance = F.kl_div(*soft, reduction="batchmean", log_target=True) * _TEMPERATURE**2
    return (1 - _LABEL_LOSS_WEIGHT) * distance + _LABEL_LOSS_WEIGHT * F.cross_entropy(logits, labels)


def compute_metrics(actual: Tensor, expected: Tensor, labels: Tensor) -> EvalMetrics:
    """Compare the logits of int8 with the float model's, both of shape (images, classes), and with the labels."""
    if not actual.isfinite().all():
        return EvalMetrics(agreement=0.0, sqnr_db=-inf, top1=0.0)
    int8_logits, float_logits = actual.numpy(), expected.numpy()
    return EvalMetrics(
        agreement=compute_agreement(float_logits, int8_logits),
        sqnr_db=round(sqnr(float_logits, int8_logits), 2),
        top1=float(find_topk_hits(int8_logits, labels.numpy(), 1).mean()),
    )


def split_held_out(images: ImageSet) -> tuple[ImageSet, ImageSet]:
    """Split a sample, in which classes alternate, into images to train on and images held out."""
    held = min(round(len(images) * HELD_OUT_SHARE), MAX_HELD_OUT)
    return images.select(range(held, len(images))), images.select(range(held))


def _check_recipe(deployed: DeployForm, recipe: Recipe) -> None:
    """Raise `BadRecipe` if there is nothing to train."""
    if recipe.precision != "int8":
        raise BadRecipe(
            f"The recipe's precision is {recipe.precision}, and fine-tuning is for int8.",
            why="It adapts a model to the fixed ranges of static int8.",
            hint="Calibrate a recipe for int8.",
        )
    check_recipe_layers(deployed, recipe)
    if not set(map(get_layer_path, recipe.ranges)) - set(recipe.float_layers):
        raise BadRecipe("The recipe keeps every layer in float.", why="Fine-tuning trains int8 layers.")


def _check_images(deployed: DeployForm, images: ImageSet) -> None:
    """Raise `BadImages` if the images cannot be trained on."""
    if images.labels is None:
        raise BadImages(
            f"The images in {images.root} have no labels.",
            why="Fine-tuning learns from the class of each image.",
            hint="Put them in a folder for each class, or set `labels_csv`.",
        )
    if images.classes != deployed.trained.labels:
        raise BadImages(
            f"The classes of {images.root} are not the model's.",
            why=f"The model has {len(deployed.trained.labels)}, the images have {len(images.classes)}.",
            hint="Open the images with the model's labels: open_images(folder, labels=trained.labels).",
        )
    if len(images) < MIN_IMAGES:
        raise BadImages(
            f"There are {len(images)} images in {images.root}.",
            why=f"A fifth of them is held out. At least {MIN_IMAGES} are needed, some hundred are usual.",
        )


def _select_device(name: str | None) -> torch.device:
    """Return the device of that name (default: a GPU if there is one, or the CPU).

    Raises:
        NotSupported: If the device is not available.
    """
    try:
        default = "cuda" if torch.cuda.is_available() else "cpu"
        device = torch.device(default if name is None else name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as reason:
        message = str(reason).partition("\n")[0]
        raise NotSupported(f"`device` is '{name}': {message}", hint="Try `device='cpu'`.", parameter="device") from None
    return device

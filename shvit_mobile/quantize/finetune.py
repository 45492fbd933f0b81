"""Quantization-aware fine-tuning, the last resort: int8 layers learn to live with the ranges that they have.

They learn from labels and, more, from the float model's logits. The result is a recipe with corrections like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from math import cos, inf, isfinite, log10, pi
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shvit_mobile.contracts.recipe import CalibrationImages, EvalMetrics, FineTuning, Recipe
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import BadImages, BadRecipe, InvalidConfig
from shvit_mobile.images.batches import ImageBatch, iterate_batches
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.quantize.affine import WEIGHT_MAX
from shvit_mobile.quantize.layers import check_recipe_layers
from shvit_mobile.quantize.overrides import ParameterOverrides
from shvit_mobile.quantize.qat_graph import TrainingGraph, build_training_graph

# Called with what is being done, the images done and their total.
FinetuneProgress = Callable[[str, int, int], None]

# Of the images, the share that judges, and the most of them; and the fewest that can be trained on and judged by.
HELD_OUT_SHARE, MAX_HELD_OUT, MIN_IMAGES = 0.2, 500, 10
# What labels count for in the loss: the float model's logits say more of an image, and are what int8 is held against.
LABEL_LOSS_WEIGHT = 0.2
# Logits are divided by it before they are compared, so that unlikely classes are heard (Hinton et al., 2015).
TEMPERATURE = 2.0
# Good for a recipe that is nearly good; one that is far off needs ten times as much.
LEARNING_RATE = 0.01


@dataclass(frozen=True)
class FinetuneSettings:
    """How to train.

    Attributes:
        epochs: how often each image is seen.
        count: how many images are used, those held out included; balanced over classes.
        batch: images an update.
        learning_rate: at the start, in int8 steps an update; it falls to 0 along a cosine.
        flip: mirror every other image.
        seed: of the choice of images, their order and their mirroring.
        device: "cpu", "cuda" and so on; a GPU where there is one if None.
    """

    epochs: int = 3
    count: int = 1000
    batch: int = 16
    learning_rate: float = LEARNING_RATE
    flip: bool = False
    seed: int = 0
    device: str | None = None

    def __post_init__(self) -> None:
        if min(self.epochs, self.count, self.batch) < 1:
            raise InvalidConfig(
                f"epochs is {self.epochs}, count {self.count} and batch {self.batch}.", why="Each is at least 1."
            )
        if not 0 < self.learning_rate <= WEIGHT_MAX:
            raise InvalidConfig(
                f"The learning rate is {self.learning_rate:g}.",
                why=f"It is in int8 steps an update: above 0 and at most {WEIGHT_MAX}, all that a weight has.",
                hint=f"Try: --learning-rate {LEARNING_RATE:g}",
            )


@dataclass(frozen=True)
class EpochResult:
    """One pass over the images: the mean loss on the way, and how near int8 then was on those held out."""

    loss: float
    metrics: EvalMetrics


@dataclass(frozen=True, eq=False)
class FinetuneResult:
    """What came of a fine-tuning.

    Attributes:
        recipe: The recipe of the best epoch.
        overrides: Its overrides.
        before: how near int8 was to the float model at the start, on the images held out.
        epochs: each of them.
        best: which of `epochs` the recipe is of.
        skipped: images that could not be decoded.
    """

    recipe: Recipe
    overrides: ParameterOverrides
    before: EvalMetrics
    epochs: tuple[EpochResult, ...]
    best: int
    skipped: int

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
    progress: FinetuneProgress | None = None,
) -> FinetuneResult:
    """A recipe whose int8 layers were trained; on a CPU the same to the byte for the same settings and threads.

    Args:
        deployed: the model; its float layers stay as they are.
        recipe: A recipe of static int8.
        images: with the model's classes for labels. A fifth of them is held out, and the epoch is taken that is
            nearest to the float model there.
        settings: how to train.
        overrides: The recipe's overrides, if it has any.
        progress: told of each image.

    Raises:
        BadRecipe: the recipe is not static int8, keeps every layer float, or is another model's.
        BadImages: the images have no labels or other classes, or are too few.
        InvalidConfig: there is no such device.
    """
    settings = settings or FinetuneSettings()
    check_recipe(deployed, recipe)
    check_images(deployed, images)
    sample = images.sample(settings.count, settings.seed)
    return FinetuneTrainer(deployed, recipe, overrides, sample, settings, progress).train()


class FinetuneTrainer:
    """A fine-tuning under way."""

    def __init__(
        self,
        deployed: DeployForm,
        recipe: Recipe,
        overrides: ParameterOverrides | None,
        images: ImageSet,
        settings: FinetuneSettings,
        progress: FinetuneProgress | None,
    ) -> None:
        self.deployed, self.recipe, self.settings, self.progress = deployed, recipe, settings, progress
        self.learn, self.held = split_held_out(images)
        self.device = select_device(settings.device)
        self.student: TrainingGraph = build_training_graph(deployed, recipe, overrides, self.device)
        self.teacher = copy_to_device(deployed.module, self.device)
        self.optimizer = torch.optim.Adam(self.student.parameters, lr=settings.learning_rate)
        self.updates = settings.epochs * -(-len(self.learn) // settings.batch)
        self.update = 0
        self.skipped: set[Path] = set()

    def train(self) -> FinetuneResult:
        """Trains for all epochs."""
        before = self.evaluate("Measuring the recipe as it is")
        epochs: list[EpochResult] = []
        best, kept = 0, ParameterOverrides()
        for number in range(self.settings.epochs):
            name = f"Epoch {number + 1} of {self.settings.epochs}"
            loss = self.train_epoch(number, name)
            epochs.append(EpochResult(loss, self.evaluate(f"{name}, measured")))
            if number == 0 or epochs[number].metrics.is_better_than(epochs[best].metrics):
                best, kept = number, self.student.export_overrides()
        told = FineTuning(
            images=CalibrationImages(
                source=self.learn.root.name,
                count=len(self.learn),
                sha256=self.learn.compute_sha256(),
                seed=self.settings.seed,
            ),
            held_out=len(self.held),
            epochs=best + 1,
            learning_rate=self.settings.learning_rate,
            before=before,
            after=epochs[best].metrics,
        )
        recipe = self.recipe.model_copy(update={"finetuning": told, "corrections": kept.sha256})
        return FinetuneResult(recipe, kept, before, tuple(epochs), best, len(self.skipped))

    def train_epoch(self, number: int, name: str) -> float:
        """Sees each image once; the mean loss."""
        rng = np.random.default_rng((self.settings.seed % 2**32, number))
        shuffled = self.learn.select(rng.permutation(len(self.learn)).tolist())
        total = seen = 0.0
        for pixels, labels in self.iterate_batches(shuffled, name):
            if self.settings.flip:
                mirrored = torch.from_numpy(rng.random(len(pixels)) < 0.5).to(self.device)
                pixels = torch.where(mirrored[:, None, None, None], pixels.flip(3), pixels)
            total += self.train_step(pixels, labels) * len(pixels)
            seen += len(pixels)
        return total / seen

    def train_step(self, pixels: Tensor, labels: Tensor) -> float:
        """One update; its loss."""
        with torch.no_grad():
            expected = self.teacher(pixels)
        rate = self.settings.learning_rate * (1 + cos(pi * self.update / self.updates)) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = compute_loss(self.student.module(pixels), expected, labels)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.update += 1
        return loss.item()

    @torch.no_grad()
    def evaluate(self, name: str) -> EvalMetrics:
        """How near int8 is to the float model now."""
        actual, expected, truth = [], [], []
        for pixels, labels in self.iterate_batches(self.held, name):
            actual.append(self.student.module(pixels).cpu())
            expected.append(self.teacher(pixels).cpu())
            truth.append(labels.cpu())
        return compute_metrics(torch.cat(actual), torch.cat(expected), torch.cat(truth))

    def iterate_batches(self, images: ImageSet, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        """The images a batch at a time, as the deploy form takes them, and their labels; on the device."""

        def tick(done: int, total: int) -> None:
            if self.progress is not None:
                self.progress(name, done, total)

        for batch in iterate_batches(
            images, self.deployed.trained.preprocessing, size=self.settings.batch, progress=tick
        ):
            self.skipped |= {skipped.file for skipped in batch.skipped}
            yield self.prepare_batch(batch), torch.from_numpy(batch.labels).to(self.device)

    def prepare_batch(self, batch: ImageBatch) -> Tensor:
        """What the deploy form takes of a batch, on the device."""
        return self.deployed.prepare(batch.pixels).to(self.device)


def compute_loss(logits: Tensor, expected: Tensor, labels: Tensor) -> Tensor:
    """What is made small: the distance from the float model's answers, and a share of that from the right ones."""
    soft = F.log_softmax(logits / TEMPERATURE, 1), F.log_softmax(expected / TEMPERATURE, 1)
    distance = F.kl_div(*soft, reduction="batchmean", log_target=True) * TEMPERATURE**2
    return (1 - LABEL_LOSS_WEIGHT) * distance + LABEL_LOSS_WEIGHT * F.cross_entropy(logits, labels)


def compute_metrics(actual: Tensor, expected: Tensor, labels: Tensor) -> EvalMetrics:
    """Args: logits of int8 and of the float model, shape (images, classes); the right classes, shape (images,)."""
    noise = float((actual - expected).double().square().sum())
    signal = float(expected.double().square().sum())
    level = -inf if not isfinite(noise) or not signal else 10 * log10(signal / noise) if noise else inf
    chosen = actual.argmax(1)
    return EvalMetrics(
        agreement=float((chosen == expected.argmax(1)).double().mean()),
        sqnr_db=round(level, 2),
        top1=float((chosen == labels).double().mean()),
    )


def split_held_out(images: ImageSet) -> tuple[ImageSet, ImageSet]:
    """What is trained on, and what judges: the first of a sample, in which classes take turns."""
    held = min(round(len(images) * HELD_OUT_SHARE), MAX_HELD_OUT)
    return images.select(range(held, len(images))), images.select(range(held))


def check_recipe(deployed: DeployForm, recipe: Recipe) -> None:
    """Raises `BadRecipe` where there is nothing to train."""
    if recipe.precision != "int8":
        raise BadRecipe(
            f"The recipe's precision is {recipe.precision}, and fine-tuning is for int8.",
            why="It teaches a model to live with the fixed ranges of static int8.",
            hint="Make a recipe of int8: shvit-mobile export --quantize int8 --calibration DIR",
        )
    check_recipe_layers(deployed, recipe)
    if not set(recipe.ranges) - set(recipe.float_layers):
        raise BadRecipe("The recipe keeps every layer in float.", why="Fine-tuning trains int8 layers.")


def check_images(deployed: DeployForm, images: ImageSet) -> None:
    """Raises `BadImages` where the images cannot serve to train."""
    if images.labels is None:
        raise BadImages(
            f"The images in {images.root} have no labels.",
            why="Fine-tuning learns from the class of each.",
            hint="Put them in a folder for each class, or add --labels-csv FILE.",
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
            why=f"A fifth of them judges, the others are trained on: {MIN_IMAGES} are the fewest, some hundred the usual.",
        )


def select_device(name: str | None) -> torch.device:
    """The device of that name; a GPU where there is one if None, else the CPU.

    Raises:
        InvalidConfig: there is none.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as reason:
        said = str(reason).partition("\n")[0]
        raise InvalidConfig(f"--device is '{name}': {said}", hint="Try: --device cpu") from None
    return device


def copy_to_device(module: nn.Module, device: torch.device) -> nn.Module:
    """A module on a device, where the original stays where it is."""
    return module if device.type == "cpu" else deepcopy(module).to(device)

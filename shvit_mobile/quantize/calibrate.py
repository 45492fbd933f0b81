"""Calibration: images in, a recipe with the range of every int8 layer out."""

from collections.abc import Callable, Sequence

import numpy as np

from shvit_mobile.contracts.recipe import (
    FLOAT_KINDS,
    PALETTE_FLOAT_KINDS,
    PALETTE_PRECISIONS,
    ActivationRange,
    ActivationScheme,
    CalibrationImages,
    ObserverName,
    Precision,
    PTQPassName,
    Recipe,
)
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import MissingParameter
from shvit_mobile.images.accounting import replace_invalid_utf8
from shvit_mobile.images.augment import augment_images
from shvit_mobile.images.batches import SkippedImage, group_undecodable, iterate_batches
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.progress import ProgressCallback
from shvit_mobile.quantize.layers import list_static_only_layers
from shvit_mobile.quantize.observation import observe_ranges
from shvit_mobile.quantize.overrides import CalibratedRecipe, ParameterOverrides
from shvit_mobile.quantize.passes import PTQPassManager, QuantState

# PTQ passes get at least this many images; variants of the images make up for missing ones.
_MIN_IMAGES_WITHOUT_VARIANTS = 32


def calibrate_recipe(
    deployed: DeployForm,
    images: ImageSet | None = None,
    *,
    precision: Precision = "int8",
    observer: ObserverName = "min-max",
    activations: ActivationScheme = "affine",
    count: int = 128,
    seed: int = 0,
    balanced: bool = True,
    steps: Sequence[PTQPassName] = (),
    previous: CalibratedRecipe | None = None,
    on_recipe: Callable[[Recipe, ParameterOverrides | None], None] | None = None,
    progress: ProgressCallback | None = None,
) -> CalibratedRecipe:
    """Build the recipe of a precision; for int8, measure the ranges of every dense convolution's input and output.

    Args:
        deployed: The model to lower.
        images: Calibration images; needed for int8 only.
        precision: The precision of all layers but those of `FLOAT_KINDS`.
        observer: How int8 derives a range from the observed values.
        activations: How int8 divides a range into integers.
        count: How many of `images` to use.
        seed: Seed for sampling images.
        balanced: Sample them evenly over their classes.
        steps: PTQ passes to try in this order; each is kept if it helps. None of them gives plain int8.
        previous: The recipe after the first of the passes, to continue from.
        on_recipe: Called with the recipe of int8 after each pass.
        progress: Called with the images, or the passes, that are done and their total.

    Returns:
        The recipe; and its parameter overrides, or None if no pass was tried.

    Raises:
        MissingParameter: If `precision` is "int8" and `images` is None.
        BadImages: If none of the images can be decoded.
    """
    if precision == "int8-dynamic":
        kept = list_static_only_layers(deployed)
        return Recipe(precision=precision, float_kinds=FLOAT_KINDS, float_layers=kept), None
    if precision in PALETTE_PRECISIONS:
        return Recipe(precision=precision, float_kinds=PALETTE_FLOAT_KINDS), None
    if precision != "int8":
        return Recipe(precision=precision), None
    if images is None:
        raise MissingParameter(
            "int8 needs images to calibrate on, and `images` is None.",
            why="Static int8 fixes the range of every activation in advance; it is measured on real images.",
            hint="Give a hundred or more images like those the app will see.",
            parameter="images",
        )
    sample = images.sample(count, seed, balanced=balanced)
    recipe = Recipe(precision=precision, float_kinds=FLOAT_KINDS, observer=observer, activations=activations)
    if steps:
        return run_ptq_passes(
            deployed,
            sample,
            recipe,
            seed=seed,
            steps=steps,
            previous=previous,
            on_recipe=on_recipe,
            progress=progress,
        )
    ranges: dict[str, ActivationRange] = {}
    skipped: list[SkippedImage] = []
    with observe_ranges(deployed.module, deployed.wiring, ranges, observer, activations):
        for batch in iterate_batches(sample, deployed.trained.preprocessing, size=32, progress=progress):
            deployed.run_outputs(batch.pixels)
            skipped += batch.skipped
    source = _describe_calibration_images(sample, skipped, seed)
    recipe = recipe.model_copy(update={"ranges": ranges, "calibration": source})
    if on_recipe is not None:
        on_recipe(recipe, None)
    return recipe, None


def run_ptq_passes(
    deployed: DeployForm,
    images: ImageSet,
    base_recipe: Recipe,
    *,
    seed: int,
    steps: Sequence[PTQPassName],
    previous: CalibratedRecipe | None = None,
    on_recipe: Callable[[Recipe, ParameterOverrides | None], None] | None = None,
    progress: ProgressCallback | None = None,
) -> CalibratedRecipe:
    """Return `base_recipe` with ranges and with the PTQ passes that help, and its overrides.

    Args:
        deployed, steps, previous, progress: As in `calibrate_recipe`.
        images: The calibration images.
        base_recipe: The recipe's other fields.
        seed: Seed with which `images` were sampled; also for their variants.
        on_recipe: Called with recipe and overrides before the first pass and after each one.

    Raises:
        BadImages: If none of the images can be decoded.
    """
    batches = list(iterate_batches(images, deployed.trained.preprocessing, size=8))
    pixels = np.concatenate([batch.pixels for batch in batches])
    variants = max(0, _MIN_IMAGES_WITHOUT_VARIANTS - len(pixels))
    skipped = [image for batch in batches for image in batch.skipped]
    source = _describe_calibration_images(images, skipped, seed, variants)
    recipe, overrides = previous or (base_recipe, None)
    before = None if previous is None else QuantState(recipe.ranges, overrides or ParameterOverrides())
    manager = PTQPassManager(
        deployed,
        augment_images(pixels, _MIN_IMAGES_WITHOUT_VARIANTS, seed),
        observer=base_recipe.observer or "min-max",
        activations=base_recipe.activations,
    )
    for state, gains in manager.run_passes(steps, before, recipe.steps):
        overrides = state.overrides
        fields = {"ranges": dict(state.ranges), "calibration": source, "steps": gains, "corrections": overrides.sha256}
        recipe = base_recipe.model_copy(update=fields)
        if on_recipe is not None:
            on_recipe(recipe, overrides)
        if progress is not None:
            progress(len(gains), len(steps))
    return recipe, overrides


def _describe_calibration_images(
    images: ImageSet, skipped: Sequence[SkippedImage], seed: int, variants: int = 0
) -> CalibrationImages:
    use = images.account(group_undecodable(images, skipped))
    return CalibrationImages(
        source=replace_invalid_utf8(images.root.absolute().name),
        count=use.used,
        sha256=images.compute_sha256(),
        seed=seed,
        variants=variants,
        use=use,
    )

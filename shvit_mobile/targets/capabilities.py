"""Where a target cannot follow a recipe: which kinds or layers, why, and what it does instead."""

from __future__ import annotations

from collections.abc import Iterator

from shvit_mobile.contracts.manifest import Target
from shvit_mobile.contracts.recipe import FLOAT_KINDS, INT8_ARITHMETIC, PALETTE_PRECISIONS, Precision, Recipe

ONLY_CONVOLUTION_RANGES = "a recipe has ranges of dense convolutions and of nothing else"
ONLY_STATIC_RANGES = "its int8 has ranges that are fixed in the file, none that are taken from an image"
NO_PALETTES = "it multiplies integers by their scales and looks nothing up"

# What a target has instead of a precision that it lacks, and why it lacks it.
NEAREST_PRECISIONS: dict[Target, dict[Precision, tuple[Precision, str]]] = {
    "coreml": {"int8-dynamic": ("int8", ONLY_STATIC_RANGES)},
    "executorch": {
        "fp16": ("fp32", "its programs for XNNPACK are in float32, as all CPUs compute"),
        "int8-weights": ("int8-dynamic", "XNNPACK multiplies int8 weights by int8 activations"),
        **dict.fromkeys(PALETTE_PRECISIONS, ("int8-dynamic", NO_PALETTES)),
    },
    "onnx": {
        "fp16": ("fp32", "its files are in float32, as all CPUs compute"),
        "int8-dynamic": ("int8", ONLY_STATIC_RANGES),
        "int8-weights": ("int8", "ONNX Runtime multiplies int8 weights by int8 activations"),
        **dict.fromkeys(PALETTE_PRECISIONS, ("int8", NO_PALETTES)),
    },
}

# Why a target keeps kinds in float that a recipe wants in int8; what is not here, for want of ranges.
FLOAT_KIND_REASONS: dict[tuple[Target, str], str] = {
    ("executorch", "attention"): "XNNPACK has no int8 softmax",
    ("executorch", "head"): "its head is an option of its own; --head int8-dynamic makes it int8",
}


def list_unsupported(recipe: Recipe, target: Target) -> tuple[str, ...]:
    """One sentence for each wish of a recipe that a target does not follow; none where it follows all of them."""
    return tuple(iterate_unsupported(recipe, target))


def iterate_unsupported(recipe: Recipe, target: Target) -> Iterator[str]:
    if recipe.precision in NEAREST_PRECISIONS[target]:
        nearest, why = NEAREST_PRECISIONS[target][recipe.precision]
        yield f"{target} has no {recipe.precision}: {why}. The nearest is {nearest}."
    elif recipe.precision in INT8_ARITHMETIC:
        yield from explain_float_kinds(recipe, target)
    elif recipe.float_layers:
        yield (
            f"{target} does not keep {', '.join(recipe.float_layers)} in float: under {recipe.precision}, kinds decide "
            "alone. The nearest is to keep a whole kind."
        )


def explain_float_kinds(recipe: Recipe, target: Target) -> Iterator[str]:
    """What int8 leaves in float on a target although the recipe does not say so, by the reason."""
    reasons: dict[str, list[str]] = {}
    for kind in FLOAT_KINDS:
        if kind not in recipe.float_kinds:
            reasons.setdefault(FLOAT_KIND_REASONS.get((target, kind), ONLY_CONVOLUTION_RANGES), []).append(kind)
    for why, kinds in reasons.items():
        yield f"{target} keeps {', '.join(kinds)} in float, which the recipe wants in {recipe.precision}: {why}."

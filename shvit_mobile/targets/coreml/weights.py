"""Weights alone made small: int8 with scales, or indices into palettes. Arithmetic stays fp16.

coremltools writes them into the program; which weights, in what groups and with what palettes is decided here, from
what `shvit_mobile.quantize.weights` says of a recipe. Its `enable_per_channel_scale` is left alone: with palettes by
group, version 9.0 takes the largest weight along the wrong axis, and a package larger than fp16 answers anything but
right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from shvit_mobile.contracts.recipe import Precision, Recipe
from shvit_mobile.quantize.palette import palettize
from shvit_mobile.quantize.weights import MAX_UNCOMPRESSED_ELEMENTS, PALETTE_BITS

QUANTIZE_PASS, PALETTIZE_PASS = "compression::linear_quantize_weights", "compression::palettize_weights"


def build_compression_pipeline(ct: Any, mil: Any, recipe: Recipe, block: int) -> Any:
    """The pipeline of the one pass that compresses the weights of more than `MAX_UNCOMPRESSED_ELEMENTS` elements.

    Args:
        ct: coremltools.
        mil: the program, whose operators are told apart by their names.
        recipe: one of `COMPRESSED`; `float_kinds` keep their weights.
        block: how many channels share a scale or a palette; 0 for a scale an output channel, a palette a weight.
    """
    from coremltools.optimize import coreml as cto

    name, config = (
        (QUANTIZE_PASS, create_quantizer_config)
        if recipe.precision == "int8-weights"
        else (PALETTIZE_PASS, create_palettizer_config)
    )
    whole = config(cto, recipe.precision, 0)
    exceptions = dict.fromkeys(iterate_float_operators(mil, recipe))
    if block:
        blocks = config(cto, recipe.precision, block)
        exceptions = (
            dict.fromkeys(iterate_divisible_operators(mil, block, 1 if name == QUANTIZE_PASS else 0), blocks)
            | exceptions
        )
    pipeline = ct.PassPipeline.EMPTY
    pipeline.append_pass(name)
    pipeline.set_options(name, {"config": cto.OptimizationConfig(whole, op_name_configs=exceptions)})
    return pipeline


def create_quantizer_config(cto: Any, _: Precision, block: int) -> Any:
    """int8, symmetric; one scale an output channel, or one for each block of its input channels."""
    blocks = {"granularity": "per_block", "block_size": block} if block else {"granularity": "per_channel"}
    return cto.OpLinearQuantizerConfig(
        mode="linear_symmetric", dtype="int8", weight_threshold=MAX_UNCOMPRESSED_ELEMENTS, **blocks
    )


def create_palettizer_config(cto: Any, precision: Precision, block: int) -> Any:
    """One palette a weight, or one for each group of output channels; ours, since coremltools' own depend on chance."""
    groups = {"granularity": "per_grouped_channel", "group_size": block, "channel_axis": 0} if block else {}
    chosen: Callable[[Any], Any] = partial(palettize, bits=PALETTE_BITS[precision])
    return cto.OpPalettizerConfig(
        mode="custom", lut_function=chosen, weight_threshold=MAX_UNCOMPRESSED_ELEMENTS, **groups
    )


def iterate_float_operators(mil: Any, recipe: Recipe) -> Iterator[str]:
    """The operators whose weights the recipe's `float_kinds` keep as they are."""
    for operator in mil.functions["main"].operations:
        head = operator.op_type == "linear"
        depthwise = operator.op_type == "conv" and operator.groups.val > 1
        if (head and "head" in recipe.float_kinds) or (depthwise and "depthwise" in recipe.float_kinds):
            yield operator.name


def iterate_divisible_operators(mil: Any, block: int, axis: int) -> Iterator[str]:
    """The operators whose weights fall into blocks without a rest; the others have one scale a channel, one palette."""
    for operator in mil.functions["main"].operations:
        if operator.op_type in ("linear", "conv") and operator.weight.shape[axis] % block == 0:
            yield operator.name

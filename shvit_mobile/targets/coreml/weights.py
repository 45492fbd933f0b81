"""Compress weights to int8 with scales, or to indices into palettes; arithmetic stays in fp16.

coremltools writes them into the program; this module chooses the weights, groups and palettes, as
`shvit_mobile.quantize.weights` does for a recipe. It does not use `enable_per_channel_scale`: with palettes per group,
coremltools 9.0 takes the largest weight along the wrong axis, and the logits are wrong.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from shvit_mobile.contracts.recipe import Precision, Recipe
from shvit_mobile.quantize.palette import palettize
from shvit_mobile.quantize.weights import MAX_UNCOMPRESSED_ELEMENTS, PALETTE_BITS

QUANTIZE_PASS, PALETTIZE_PASS = "compression::linear_quantize_weights", "compression::palettize_weights"


def build_compression_pipeline(ct: Any, mil: Any, recipe: Recipe, block: int) -> Any:
    """Return a pipeline with the pass that compresses weights of more than `MAX_UNCOMPRESSED_ELEMENTS` elements.

    Args:
        ct: coremltools.
        mil: The program.
        recipe: One of `WEIGHT_ONLY_PRECISIONS`; `float_kinds` keep their weights.
        block: The number of channels per scale or palette; 0 for one scale per output channel, one palette per weight.
    """
    from coremltools.optimize import coreml as cto

    name, config = (
        (QUANTIZE_PASS, _create_quantizer_config)
        if recipe.precision == "int8-weights"
        else (PALETTIZE_PASS, _create_palettizer_config)
    )
    whole = config(cto, recipe.precision, 0)
    exceptions = dict.fromkeys(_iterate_float_operators(mil, recipe))
    if block:
        blocks = config(cto, recipe.precision, block)
        exceptions = (
            dict.fromkeys(_iterate_divisible_operators(mil, block, 1 if name == QUANTIZE_PASS else 0), blocks)
            | exceptions
        )
    pipeline = ct.PassPipeline.EMPTY
    pipeline.append_pass(name)
    pipeline.set_options(name, {"config": cto.OptimizationConfig(whole, op_name_configs=exceptions)})
    return pipeline


def _create_quantizer_config(cto: Any, _: Precision, block: int) -> Any:
    """Return symmetric int8 with one scale per output channel, or per block of its input channels."""
    blocks = {"granularity": "per_block", "block_size": block} if block else {"granularity": "per_channel"}
    return cto.OpLinearQuantizerConfig(
        mode="linear_symmetric", dtype="int8", weight_threshold=MAX_UNCOMPRESSED_ELEMENTS, **blocks
    )


def _create_palettizer_config(cto: Any, precision: Precision, block: int) -> Any:
    """Return one palette per weight or group of output channels; coremltools' own palettes are random."""
    groups = {"granularity": "per_grouped_channel", "group_size": block, "channel_axis": 0} if block else {}
    chosen: Callable[[Any], Any] = partial(palettize, bits=PALETTE_BITS[precision])
    return cto.OpPalettizerConfig(
        mode="custom", lut_function=chosen, weight_threshold=MAX_UNCOMPRESSED_ELEMENTS, **groups
    )


def _iterate_float_operators(mil: Any, recipe: Recipe) -> Iterator[str]:
    """Yield the operators whose weights the recipe's `float_kinds` leave uncompressed."""
    for operator in mil.functions["main"].operations:
        head = operator.op_type == "linear"
        depthwise = operator.op_type == "conv" and operator.groups.val > 1
        if (head and "head" in recipe.float_kinds) or (depthwise and "depthwise" in recipe.float_kinds):
            yield operator.name


def _iterate_divisible_operators(mil: Any, block: int, axis: int) -> Iterator[str]:
    """Yield the operators whose weights divide into blocks; the others have one scale per channel or one palette."""
    for operator in mil.functions["main"].operations:
        if operator.op_type in ("linear", "conv") and operator.weight.shape[axis] % block == 0:
            yield operator.name

"""The parts of a recipe that a target does not support, why, and what it does instead."""

from shvit_mobile.contracts.manifest import Manifest, QualifiedTarget
from shvit_mobile.contracts.recipe import FLOAT_KINDS, INT8_ARITHMETIC, PALETTE_PRECISIONS, Precision, Recipe

_ONLY_CONVOLUTION_RANGES = "a recipe has ranges only of dense convolutions"
_ONLY_STATIC_RANGES = "its int8 ranges are fixed in the file, not computed from each image"
_NOT_YET = "this experimental target does not write it yet"
_NO_PALETTES = "it multiplies integers by scales and has no lookup tables"

# The nearest supported precision for each unsupported one, and why it is not supported.
NEAREST_PRECISIONS: dict[QualifiedTarget, dict[Precision, tuple[Precision, str]]] = {
    "coreml": {"int8-dynamic": ("int8", _ONLY_STATIC_RANGES)},
    "executorch": {
        "int8-weights": ("int8-dynamic", "XNNPACK multiplies int8 weights by int8 activations"),
        **dict.fromkeys(PALETTE_PRECISIONS, ("int8-dynamic", _NO_PALETTES)),
    },
    "executorch-coreml": {"int8-dynamic": ("int8", _ONLY_STATIC_RANGES)},
    "executorch-vulkan": {
        "int8-dynamic": ("int8", _ONLY_STATIC_RANGES),
        "int8-weights": ("int8", "its int8 weights are multiplied by int8 activations"),
        **dict.fromkeys(PALETTE_PRECISIONS, ("int8", _NO_PALETTES)),
    },
    "onnx": {
        "fp16": ("fp32", "ONNX Runtime's CPU kernels compute in float32"),
        "int8-dynamic": ("int8", _ONLY_STATIC_RANGES),
        "int8-weights": ("int8", "ONNX Runtime multiplies int8 weights by int8 activations"),
        **dict.fromkeys(PALETTE_PRECISIONS, ("int8", _NO_PALETTES)),
    },
    "litert": {
        "int8-dynamic": ("int8", _ONLY_STATIC_RANGES),
        "int8-weights": ("int8", "XNNPACK multiplies int8 weights by int8 activations"),
        **dict.fromkeys(PALETTE_PRECISIONS, ("int8", _NO_PALETTES)),
    },
    "coreai": {
        "int8-dynamic": ("int8", _ONLY_STATIC_RANGES),
        "int8-weights": ("int8", _NOT_YET),
        **dict.fromkeys(PALETTE_PRECISIONS, ("int8", _NOT_YET)),
    },
}


def has_fp16_floats(manifest: Manifest) -> bool:
    """Return whether what int8 leaves in float computes in fp16 in an ExecuTorch artifact."""
    return manifest.options.get("float_dtype") == "fp16"


def needs_fp16_arithmetic(manifest: Manifest) -> bool:
    """Return whether an artifact loads only on a CPU with fp16 arithmetic."""
    return manifest.qualified_target == "executorch" and (manifest.precision == "fp16" or has_fp16_floats(manifest))


def list_requirements(manifest: Manifest) -> list[str]:
    """Return one sentence for each thing that an artifact needs to load, where some phones in use do not have it."""
    needs = []
    if needs_fp16_arithmetic(manifest):
        needs.append(
            "a CPU with fp16 arithmetic (ARMv8.2 or newer: Cortex-A55, Cortex-A75, Apple A11); on an older one it does "
            "not load"
        )
    if manifest.target == "coreml" and manifest.sizes:
        needs.append("iOS 18 or macOS 15: each of its sizes is a function of the package, and older ones run none")
    return [f"{manifest.artifact.name} needs {need}." for need in needs]


# Why a target keeps a kind in float that the recipe has in int8 (default: ONLY_CONVOLUTION_RANGES).
_FLOAT_KIND_REASONS: dict[tuple[QualifiedTarget, str], str] = {
    ("executorch", "attention"): "XNNPACK has no int8 softmax",
    ("executorch", "head"): "an int8 head is a separate option, head int8-dynamic",
}


def list_unsupported(recipe: Recipe, target: QualifiedTarget) -> list[str]:
    """Return one sentence for each part of a recipe that a target does not support."""
    if recipe.precision in NEAREST_PRECISIONS[target]:
        nearest, why = NEAREST_PRECISIONS[target][recipe.precision]
        return [f"{target} has no {recipe.precision}: {why}. The nearest is {nearest}."]
    if recipe.precision in INT8_ARITHMETIC:
        return _explain_float_kinds(recipe, target)
    if not recipe.float_layers:
        return []
    layers = ", ".join(recipe.float_layers)
    return [f"{target} does not keep {layers} in float: under {recipe.precision} only whole kinds can stay in float."]


def _explain_float_kinds(recipe: Recipe, target: QualifiedTarget) -> list[str]:
    """Return a sentence for each reason why a target keeps kinds in float that the recipe has in int8."""
    reasons: dict[str, list[str]] = {}
    for kind in FLOAT_KINDS:
        if kind not in recipe.float_kinds:
            reasons.setdefault(_FLOAT_KIND_REASONS.get((target, kind), _ONLY_CONVOLUTION_RANGES), []).append(kind)
    return [
        f"{target} keeps {', '.join(kinds)} in float, although the recipe has {recipe.precision}: {why}."
        for why, kinds in reasons.items()
    ]

"""How far a correct artifact's logits may differ from the goldens on another machine, and from the checkpoint here.

Correct kernels differ in the order of their sums and in the precision between operators. In float this changes a logit
by a few roundings; in int8 a value near the middle of two integers rounds the other way and changes later layers. The
difference was measured between correct kernels (`tools/golden_tolerances.py`, on the demo model), as a share of the
largest logit: the worst of 20,000 draws of four images. The shares below leave room above it.
"""

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.manifest import QualifiedTarget
from shvit_mobile.contracts.recipe import INT8_ARITHMETIC, Precision

# Measured for fp32: 1.5e-6 between three runtimes. For fp16, which int8-weights and palettes also use: 2e-3 between
# rounding every value and none, 5e-3 with sums in fp16, 3e-3 for XNNPACK between x86 and ARM64. For int8-dynamic: 9e-3
# between x86 and ARM64.
TOLERANCE_SHARES: dict[Precision, float] = {
    "fp32": 1e-4,
    "fp16": 0.01,
    "int8": 0.1,
    "int8-dynamic": 0.03,
    "int8-weights": 0.01,
    "palette-8": 0.01,
    "palette-6": 0.01,
    "palette-4": 0.01,
}
# Measured for Core ML: 0.084 between fp16 and fp32 around the integers. For ONNX Runtime: 0.045 between fused and
# separate kernels. For LiteRT: 0.034 between XNNPACK and its own kernels. For ExecuTorch: 0.012 between x86 and ARM64,
# whose integer kernels mostly agree.
# For Core AI nothing, because only one of its kernels runs here: it has Core ML's, as phones may compute in fp16.
INT8_TOLERANCE_SHARES: dict[QualifiedTarget, float] = {
    "coreml": 0.1,
    "executorch-coreml": 0.1,
    "executorch-vulkan": 0.1,  # not measured: the largest of the others
    "onnx": 0.06,
    "executorch": 0.03,
    "litert": 0.06,
    "coreai": 0.1,
}

# Of ExecuTorch programs with fp16 around the integers. Measured for int8: 0.058 between x86 and
# ARM64, which adds in fp16, on the demo model; not measured for int8-dynamic.
FP16_FLOATS_TOLERANCE_SHARE = 0.1

# Lowering also rounds the weights.
BOUNDED_PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16")

# Other precisions are held against PyTorch's simulation of their recipes, as root mean squares over the logits of the
# verification pictures. Measured (`tools/simulation_bounds.py`): on the demo model, whose int8 is at 20 dB on these
# pictures, 0.016 of the logits at most, which is 0.16 of the simulation's own distance from the float model; on random
# models at 29 to 42 dB up to 0.045 of the logits and 1.9 of that distance; 0.017 for int8-dynamic, and for int8-weights
# and palettes, where no rounding depends on another, 0.009.
SIMULATION_NOISE_SHARE, SIMULATION_SIGNAL_SHARE = 1.5, 0.06
# How wide a recipe's ranges may be, relative to the model's values on these pictures: each, and their median. Measured:
# 0.28 to 1.8 and 0.87 on the demo model, 0.41 to 2.5 and 1.1 on random ones. Ranges in other units, ten times as
# wide, are hardly visible in the logits: the demo's int8 falls from 20 to 15 dB.
WIDTHS, MEDIAN_WIDTHS = (0.05, 8.0), (0.25, 4.0)
# The least SQNR of the simulation's logits. The demo's is 0.2 dB with ranges a tenth as wide.
MIN_SQNR_DB = 3.0
# Below this the noise of a recipe has more than a tenth of the power of its logits; an export says so.
LOW_SQNR_DB = 10.0


def compute_simulation_bound(precision: Precision, noise: float, signal: float, *, in_blocks: bool = False) -> float:
    """Return how far an artifact's logits may be from the simulation of its recipe, as a root mean square.

    Args:
        precision: The artifact's precision.
        noise: The distance of the simulation from the float model.
        signal: The root mean square of the float model's logits.
        in_blocks: Whether blocks of channels share a scale or a palette, which the simulation does not do: the artifact
            is then nearer to the float model than the simulation is.
    """
    noise_share = SIMULATION_NOISE_SHARE if precision in INT8_ARITHMETIC or in_blocks else 0.0
    return noise_share * noise + SIMULATION_SIGNAL_SHARE * signal


def compute_tolerance(
    target: QualifiedTarget, precision: Precision, logits: NDArray[np.float32], *, has_fp16_floats: bool = False
) -> float:
    """Return the largest difference of a logit between the kernels of two machines.

    Args:
        target: The artifact's target.
        precision: The artifact's precision.
        logits: Its logits for the goldens, of any shape; the share is taken of the largest, or of 1 if all are smaller.
        has_fp16_floats: Whether what int8 leaves in float computes in fp16.
    """
    share = FP16_FLOATS_TOLERANCE_SHARE if has_fp16_floats else _get_share(target, precision)
    return share * max(1.0, float(np.abs(logits).max()))


def _get_share(target: QualifiedTarget, precision: Precision) -> float:
    return INT8_TOLERANCE_SHARES[target] if precision == "int8" else TOLERANCE_SHARES[precision]

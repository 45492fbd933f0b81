"""How far from the goldens a right artifact may answer on another machine, and a right checkpoint here.

Kernels differ in the order of their sums and in what they keep between operators. In float that moves a logit by a few
roundings; in int8 a value near the middle of two integers falls to the other side, and what follows moves with it. How
much that is was measured (`tools/golden_tolerances.py`, on the demo model) between kernels that are all right, as a
share of the largest logit: the worst of 20,000 draws of four pictures. The shares below leave room above it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.manifest import Target
from shvit_mobile.contracts.recipe import Precision

# fp32: 1.5e-6 between three runtimes. fp16, in which int8-weights and palettes compute too: 2e-3 between every value
# rounded and none, 5e-3 with sums kept in fp16. int8-dynamic: 9e-3 between x86 and ARM64.
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
# Core ML: 0.084 between fp16 and fp32 around the integers, which round differently everywhere. ONNX Runtime: 0.045
# between fused kernels and single ones. XNNPACK: 0.012 between x86 and ARM64, whose integer kernels mostly agree.
INT8_TOLERANCE_SHARES: dict[Target, float] = {"coreml": 0.1, "onnx": 0.06, "executorch": 0.03}

# Lowering rounds the weights too. int8 is not bounded here: there drift over a data set is the judge.
BOUNDED_PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16")
LOWERING_FACTOR = 5


def compute_tolerance(target: Target, precision: Precision, logits: NDArray[np.float32]) -> float:
    """The largest difference of a logit that another machine's kernels may make.

    Args:
        target, precision: of the artifact.
        logits: its answers to the goldens, any shape. Where all are smaller than one, one counts.
    """
    share = INT8_TOLERANCE_SHARES[target] if precision == "int8" else TOLERANCE_SHARES[precision]
    return share * max(1.0, float(np.abs(logits).max()))

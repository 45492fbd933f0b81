"""The form for Core ML: a family's own modules in few of Core ML's operators."""

from typing import Literal, get_args

from torch import nn

from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.module_rewrites import rewrite_for_runtime
from shvit_mobile.errors import NotSupported
from shvit_mobile.families.family import RewriteName

AttentionLayout = Literal["matmul", "einsum"]
ATTENTION_LAYOUTS: tuple[AttentionLayout, ...] = get_args(AttentionLayout)
_REWRITES: dict[AttentionLayout, RewriteName] = {"matmul": "coreml-matmul", "einsum": "coreml-einsum"}


def rewrite_for_coreml(deployed: DeployForm, layout: AttentionLayout = "matmul") -> nn.Module:
    """Return the deploy form in few Core ML operators where its family has them; float32, on the CPU.

    Layers keep their names, so a recipe fits both.

    Args:
        deployed: The model.
        layout: How attention multiplies. "matmul" has the fewest operators. "einsum" keeps channels on the second axis
            of four, as convolutions do, and transposes the keys. Measure on a phone which is faster.

    Raises:
        VerificationFailed: If the result differs from the deploy form by more than 1e-9 relative, in float64.
        NotSupported: If the family has no modules for the layout "einsum".
    """
    family = deployed.trained.family
    if layout != "matmul" and _REWRITES[layout] not in family.rewrites:
        raise NotSupported(
            f"{deployed.trained.variant} has no attention in the layout {layout}.",
            why=f"{family.name} models are converted as they are.",
            hint="Leave `layout` out.",
            parameter="layout",
        )
    return rewrite_for_runtime(deployed, _REWRITES[layout], "Core ML")

"""How much of a program its backend took, in words, and whether that is enough."""

from __future__ import annotations

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.manifest import Delegation

# Why XNNPACK leaves an operator, by the beginning of its name.
NOT_DELEGATED_REASONS = {
    "aten::native_group_norm": "XNNPACK has no group norm",
    "aten::native_layer_norm": "XNNPACK has no layer norm",
    "aten::split": "XNNPACK has no split; slices are delegated",
    "aten::expand_copy": "a matrix product that broadcasts expands its inputs first; torch.bmm does not",
    "aten::mean": "XNNPACK takes a mean over height and width that keeps both, and no other",
    "aten::amax": "XNNPACK takes no maximum over dimensions",
    "aten::view_copy": "its shape depends on a size that is not fixed",
    "dim_order_ops::": "it changes the layout in memory between delegates",
}
DEFAULT_REASON = "XNNPACK's partitioner does not take it in this form"


def describe_delegation(delegation: Delegation) -> list[str]:
    """What the backend took, and a sentence on each kind of operator that was left."""
    took = delegation.delegated_operators
    parts = "one delegate" if delegation.delegates == 1 else f"{delegation.delegates} delegates"
    if not delegation.left_operators:
        return [f"{delegation.backend} runs all {took} operators, in {parts}."]
    left = sum(delegation.left_operators.values())
    return [
        f"{delegation.backend} runs {took} of {took + left} operators, in {parts}.",
        *(
            f"{name}, {count} time{'s' if count > 1 else ''}: {explain_not_delegated(name)}."
            for name, count in sorted(delegation.left_operators.items(), key=lambda item: (-item[1], item[0]))
        ),
    ]


def explain_not_delegated(operator: str) -> str:
    """Why an operator is left to ExecuTorch's portable kernels."""
    return next((why for start, why in NOT_DELEGATED_REASONS.items() if operator.startswith(start)), DEFAULT_REASON)


def describe_delegation_shortfall(artifact: Artifact, required: float) -> list[str]:
    """One sentence where a backend took a smaller share of an artifact's operators than `required`, 0 to 1; else none.

    What has no delegation passes: no other target has one.
    """
    delegation = artifact.manifest.delegation
    if delegation is None or delegation.share >= required:
        return []
    first, *left = describe_delegation(delegation)
    share = f"{100 * delegation.share:.1f}% of the operators are delegated, less than {100 * required:g}%"
    return [f"{artifact.path.name}: {share}. {' '.join([first, *left])}"]

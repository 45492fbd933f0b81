"""Describe how many of a program's operators its backend runs, and check the share."""

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.manifest import Delegation

# Why XNNPACK does not delegate an operator, by the start of its name.
_NOT_DELEGATED_REASONS = {
    "aten::native_group_norm": "XNNPACK has no group norm",
    "aten::native_layer_norm": "XNNPACK has no layer norm",
    "aten::split": "XNNPACK has no split; slices are delegated",
    "aten::expand_copy": "a broadcasting matrix product expands its inputs first; torch.bmm does not",
    "aten::mean": "XNNPACK supports only the mean over height and width that keeps both",
    "aten::amax": "XNNPACK has no maximum over dimensions",
    "aten::view_copy": "its shape depends on a size that is not fixed",
    "dim_order_ops::": "it changes the layout in memory between delegates",
}
DEFAULT_REASON = "XNNPACK's partitioner does not support it in this form"


def describe_delegation(delegation: Delegation) -> list[str]:
    """Return one sentence on the delegated operators, and one on each type that was not delegated."""
    count = delegation.delegated_operators
    parts = "one delegate" if delegation.delegates == 1 else f"{delegation.delegates} delegates"
    if not delegation.left_operators:
        return [f"{delegation.backend} runs all {count} operators, in {parts}."]
    left = sum(delegation.left_operators.values())
    return [
        f"{delegation.backend} runs {count} of {count + left} operators, in {parts}.",
        *(
            f"{name}, {uses} time{'s' if uses > 1 else ''}: {explain_not_delegated(name)}."
            for name, uses in sorted(delegation.left_operators.items(), key=lambda item: (-item[1], item[0]))
        ),
    ]


def explain_not_delegated(operator: str) -> str:
    """Return why ExecuTorch's portable kernels run an operator."""
    return next((why for start, why in _NOT_DELEGATED_REASONS.items() if operator.startswith(start)), DEFAULT_REASON)


def describe_delegation_shortfall(artifact: Artifact, required: float) -> list[str]:
    """Return a sentence if the backend runs a smaller share of an artifact's operators than `required`, 0 to 1.

    Targets without delegation pass.
    """
    delegation = artifact.manifest.delegation
    if delegation is None or delegation.share >= required:
        return []
    first, *left = describe_delegation(delegation)
    share = f"{100 * delegation.share:.1f}% of the operators are delegated, less than {100 * required:g}%"
    return [f"{artifact.path.name}: {share}. {' '.join([first, *left])}"]

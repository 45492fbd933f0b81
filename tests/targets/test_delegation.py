"""Delegation in words, and whether it is enough."""

import pytest

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.manifest import Delegation
from shvit_mobile.targets.delegation import (
    DEFAULT_REASON,
    describe_delegation,
    describe_delegation_shortfall,
    explain_not_delegated,
)
from tests.programs import lower_program

WHOLE = Delegation(backend="XnnpackBackend", delegates=1, delegated_operators=90, left_operators={})
PARTS = Delegation(
    backend="XnnpackBackend",
    delegates=4,
    delegated_operators=90,
    left_operators={"aten::native_group_norm.out": 1, "aten::split_with_sizes_copy.out": 8, "aten::erf.out": 1},
)


def set_delegation(found: Delegation | None) -> Artifact:
    artifact = lower_program("fp32").artifact
    return Artifact(artifact.path, artifact.manifest.model_copy(update={"delegation": found}))


def test_all_in_one_sentence() -> None:
    assert describe_delegation(WHOLE) == ["XnnpackBackend runs all 90 operators, in one delegate."]


def test_operators_that_are_not_delegated_come_with_reasons_most_frequent_first() -> None:
    assert describe_delegation(PARTS) == [
        "XnnpackBackend runs 90 of 100 operators, in 4 delegates.",
        "aten::split_with_sizes_copy.out, 8 times: XNNPACK has no split; slices are delegated.",
        f"aten::erf.out, 1 time: {DEFAULT_REASON}.",
        "aten::native_group_norm.out, 1 time: XNNPACK has no group norm.",
    ]


@pytest.mark.parametrize(("required", "enough"), [(0.0, True), (0.9, True), (0.901, False), (1.0, False)])
def test_a_share_is_enough_or_not(required: float, enough: bool) -> None:
    told = describe_delegation_shortfall(set_delegation(PARTS), required)
    assert bool(told) is not enough
    assert all("90.0% of the operators are delegated" in sentence for sentence in told)


def test_an_artifact_without_delegation_passes() -> None:
    assert not describe_delegation_shortfall(set_delegation(None), 1.0)
    assert not describe_delegation_shortfall(set_delegation(WHOLE), 1.0)


def test_an_unknown_operator_has_a_general_reason() -> None:
    assert explain_not_delegated("aten::erf.out") == DEFAULT_REASON

"""A gate on instructions compares what is comparable, and does not pass where nothing is."""

from __future__ import annotations

import pytest

from shvit_mobile.bench.instructions import compute_minimum, count_artifacts, judge_instructions
from shvit_mobile.contracts.drift_row import EmulatedCPU
from shvit_mobile.contracts.instruction_report import InstructionCount, InstructionReport
from shvit_mobile.errors import BadReport, MissingParameter
from shvit_mobile.runtimes.arm64.cpus import CPUS


def build_count(instructions: int, program: str = "m.pte", cpu: str = "i8mm") -> InstructionCount:
    return InstructionCount(
        program=program, artifact_sha256=None, precision="int8", cpu=EmulatedCPU(arch="arm64", name=cpu, features=()),
        instructions=instructions, kinds={"sdot": instructions - 1, "load": 1},
        work={"int8 products": instructions}, elsewhere=7, minimum=None,
    )  # fmt: skip


def build_report(*counts: InstructionCount, engine: str = "E") -> InstructionReport:
    return InstructionReport(created="2026-11-30T00:00:00+00:00", app="a", engine=engine, counts=counts)


def test_the_limit_is_inclusive_and_what_is_above_it_is_told_in_figures() -> None:
    before = build_report(build_count(1_000_000))
    assert judge_instructions(build_report(build_count(1_010_000)), before, 0.01).passed
    verdict = judge_instructions(build_report(build_count(1_020_000)), before, 0.01)
    assert verdict.violations == (
        "m.pte executes 1,020,000 instructions on i8mm, 2.00% more than the 1,000,000 of the earlier report; 1.00% are "
        "allowed.",
    )
    assert judge_instructions(build_report(build_count(900_000)), before, 0).passed


def test_programs_and_cpus_are_not_mixed_up() -> None:
    before = build_report(build_count(100, "a.pte"), build_count(900, "a.pte", "neon"))
    after = build_report(build_count(100, "a.pte"), build_count(900, "a.pte", "neon"), build_count(5000, "b.pte"))
    verdict = judge_instructions(after, before, 0)
    assert verdict.passed
    assert verdict.caveats == ("b.pte on i8mm is not in the earlier report.",)


def test_nothing_in_common_is_no_pass() -> None:
    with pytest.raises(BadReport, match="no program in common") as refusal:
        judge_instructions(build_report(build_count(5)), build_report(build_count(5, cpu="neon")), 1)
    assert "m.pte on neon" in refusal.value.why
    with pytest.raises(BadReport, match="counted something else"):
        judge_instructions(build_report(build_count(5)), build_report(build_count(5), engine="F"), 1)


@pytest.mark.parametrize(
    ("precision", "cpu", "expected"),
    [
        ("int8", "neon", 126), ("int8", "dotprod", 63), ("int8", "i8mm", 32), ("mixed", "dotprod", 63),
        ("fp32", "i8mm", 251), ("fp16", "dotprod", 126),
    ],
)  # fmt: skip
def test_the_minimum_fills_every_vector(precision: str, cpu: str, expected: int) -> None:
    assert compute_minimum(1001, precision, CPUS[cpu]) == expected
    assert compute_minimum(None, precision, CPUS[cpu]) is None


def test_a_count_whose_parts_do_not_add_up_is_refused() -> None:
    with pytest.raises(ValueError, match=r"kinds: they add up to 5, not to 6"):
        InstructionCount.model_validate({**build_count(6).model_dump(), "kinds": {"load": 5}})


def test_there_must_be_something_to_count() -> None:
    with pytest.raises(MissingParameter, match="nothing to count"):
        count_artifacts()

"""A gate on instructions compares what is comparable, and does not pass where nothing is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shvit_mobile.bench.instructions import compute_minimum, count_artifacts, count_operator_macs, judge_instructions
from shvit_mobile.contracts.drift_row import EmulatedCPU
from shvit_mobile.contracts.instruction_report import InstructionCount, InstructionReport, OperatorInstructions
from shvit_mobile.errors import BadReport, MissingParameter
from shvit_mobile.runtimes.arm64.counting import Operator, Tensor
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


@pytest.mark.parametrize(
    ("name", "inputs", "output", "macs"),
    [
        ("Convolution (NHWC, QC8) IGEMM", ((1, 9, 9, 6), (16, 3, 2, 6), (16,)), (1, 4, 8, 16), 4 * 8 * 16 * 3 * 2 * 6),
        ("Convolution (NHWC, F32) DWConv", ((1, 9, 9, 6), (1, 3, 3, 6), (6,)), (1, 9, 9, 6), 9 * 9 * 6 * 3 * 3),
        ("Convolution (NHWC, F32) IGEMM", ((1, 9, 9, 6), (8, 3, 3, 3), (8,)), (1, 9, 9, 8), 9 * 9 * 8 * 3 * 3 * 3),
        ("Deconvolution (NHWC, F32) IGEMM", ((1, 5, 4, 6), (8, 2, 2, 6), (8,)), (1, 10, 8, 8), 5 * 4 * 6 * 8 * 2 * 2),
        ("Fully Connected (NC, QS8, QC8W) GEMM", ((1, 5, 64), (10, 64), (10,)), (1, 5, 10), 5 * 10 * 64),
        ("Batch Matrix Multiply (NC, F32) GEMM", ((2, 49, 16), (2, 49, 16)), (2, 49, 49), 2 * 49 * 49 * 16),
        ("Mean (ND) Reduce2", ((1, 7, 7, 16),), (1, 1, 1, 16), None),
    ],
)
def test_multiply_adds_of_an_operator_are_those_of_its_shapes(
    name: str, inputs: tuple[tuple[int, ...], ...], output: tuple[int, ...], macs: int | None
) -> None:
    operator = Operator(name, tuple(Tensor(shape, "int8") for shape in inputs), Tensor(output, "int8"), 1)
    assert count_operator_macs(operator) == macs


def test_a_document_whose_operators_do_not_add_up_is_rejected() -> None:
    operator = OperatorInstructions(name="Add (ND)", shape=(1, 2), dtype="float32", instructions=70, minimum=None)
    fields = build_count(100).model_dump() | {"operators": [operator.model_dump()]}
    assert InstructionCount.model_validate(fields | {"outside": 30}).operators == (operator,)
    for outside in (None, 29):
        with pytest.raises(ValueError, match="operators: they add up to"):
            InstructionCount.model_validate(fields | {"outside": outside})


def test_reports_of_version_1_0_have_no_operators_and_are_read(tmp_path: Path) -> None:
    fields = build_report(build_count(5)).model_dump() | {"schema_version": "1.0"}
    for count in fields["counts"]:
        del count["operators"], count["outside"]
    path = tmp_path / "counts.json"
    path.write_text(json.dumps(fields), encoding="utf-8")
    assert InstructionReport.load(path).counts == (build_count(5),)

"""Instructions are counted to the digit, by what the chosen CPU executes; a program with one operator more has more."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from shvit_mobile.bench.instructions import count_artifacts, count_operator_macs, judge_instructions
from shvit_mobile.bench.macs import count_macs
from shvit_mobile.bench.stock import export_xnnpack
from shvit_mobile.contracts.instruction_report import InstructionCount, InstructionReport
from shvit_mobile.deploy.xnnpack_form import rewrite_modules
from shvit_mobile.runtimes.arm64.counter import open_counter
from shvit_mobile.runtimes.arm64.counting import (
    Instructions,
    _Counts,
    _find_mismatch,
    count_instructions,
    find_functions,
    find_library,
    name_work,
)
from shvit_mobile.runtimes.arm64.cpus import CPUS, is_arm64_host
from shvit_mobile.runtimes.arm64.sysroot import open_sysroot
from tests.programs import lower_program
from tests.runtimes.arm64.conftest import Lowered

emulated = [
    pytest.mark.arm64,
    pytest.mark.skipif(is_arm64_host(), reason="this machine is ARM64 itself: nothing is emulated"),
]
DEMO_COUNTS = Path(__file__).with_name("demo_instructions.json")
SHAPE = (1, 3, 33, 47)


def with_marks(test):  # type: ignore[no-untyped-def]
    for mark in emulated:
        test = mark(test)
    return test


def build_network(*more: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 24, 3, padding=1), nn.ReLU(), *more, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 5))
    return nn.Sequential(*layers).eval()


class RunningSum(nn.Module):
    """An operator that XNNPACK does not have."""

    def forward(self, x: Tensor) -> Tensor:
        return x.cumsum(1)


def count_operators(module: nn.Module, path: Path, *, by_operator: bool = True) -> Instructions:
    program = export_xnnpack(module, [torch.rand(SHAPE)], path, "fp32")
    return count_instructions(open_counter(), open_sysroot(), CPUS["dotprod"], program, SHAPE, by_operator=by_operator)


def count_network(module: nn.Module, path: Path) -> InstructionReport:
    found = count_operators(module, path, by_operator=False)
    count = InstructionCount(
        program="network", artifact_sha256=None, precision="fp32", cpu=found.cpu,
        instructions=sum(found.kinds.values()), kinds=dict(found.kinds), work=dict(found.work),
        elsewhere=found.elsewhere, minimum=None,
    )  # fmt: skip
    return InstructionReport(created="2026-11-30T00:00:00+00:00", app="test", engine="E", counts=(count,))


@with_marks
@pytest.mark.parametrize("cpu", ["dotprod", "i8mm"])
def test_what_int8_leaves_in_float_takes_fewer_instructions_in_fp16(cpu: str) -> None:
    artifacts = [lower_program("int8", float_dtype=dtype).artifact for dtype in ("fp32", "fp16")]
    plain, half = count_artifacts(artifacts, cpus=[CPUS[cpu]]).counts
    assert half.instructions < plain.instructions
    assert half.work["int8 products"] == plain.work["int8 products"]
    layers = [one for one in half.operators if one.name.startswith("Convolution") and "DWConv" in one.name]
    assert layers
    assert {one.dtype for one in layers} == {"float16"}
    assert all(one.minimum is not None and one.minimum <= one.instructions for one in layers)


@with_marks
@pytest.mark.parametrize(("cpu", "used"), [("neon", "widening"), ("dotprod", "sdot"), ("i8mm", "smmla")])
def test_two_counts_are_equal_and_have_the_products_of_the_cpu(cpu: str, used: str) -> None:
    artifact = lower_program("int8").artifact
    first, second = (count_artifacts([artifact], cpus=[CPUS[cpu]]).counts[0] for _ in range(2))
    assert (first.instructions, first.kinds, first.work) == (second.instructions, second.kinds, second.work)
    assert (first.operators, first.outside) == (second.operators, second.outside)
    products = {kind: first.kinds[kind] for kind in ("sdot", "smmla", "widening")}  # type: ignore[index]
    assert [kind for kind, number in products.items() if number] == [used]
    assert first.artifact_sha256 == artifact.manifest.artifact.sha256


@with_marks
def test_float_programs_multiply_in_float_and_need_at_least_the_minimum() -> None:
    artifact = lower_program("fp32").artifact
    (count,) = count_artifacts([artifact], cpus=[CPUS["i8mm"]]).counts
    assert count.kinds["sdot"] == count.kinds["smmla"] == 0
    assert count.work["int8 products"] == 0
    assert 0 < count.kinds["fmla"] < count.instructions
    assert count.minimum is None, "the multiply-adds of a model that has no name are not known"


@with_marks
def test_operators_add_up_to_all_instructions_and_have_the_multiply_adds_of_the_model() -> None:
    lowered = lower_program("fp32")
    artifact = lowered.artifact
    shape = artifact.manifest.input.shape
    found = count_instructions(open_counter(), open_sysroot(), CPUS["i8mm"], artifact.path, shape, by_operator=True)
    assert found.outside > 0
    assert sum(one.instructions for one in found.operators) + found.outside == sum(found.kinds.values())
    assert all(one.instructions > 0 for one in found.operators)
    joined = [one for one in found.operators if one.name.startswith("Copy") and len(one.inputs) == 2]
    assert joined, "attention joins two tensors, which are two runs of one operator"
    assert found.operators[0].inputs[0].shape == shape
    assert found.operators[-1].output.shape == (1, lowered.deployed.trained.classes)
    macs = [count_operator_macs(one) for one in found.operators]
    assert sum(number for number in macs if number is not None) == count_macs(rewrite_modules(lowered.deployed), shape)


@with_marks
def test_names_of_operators_change_no_count_and_others_than_xnnpacks_are_outside(tmp_path: Path) -> None:
    plain = count_operators(build_network(), tmp_path / "plain.pte")
    assert [(one.name, one.output.shape) for one in plain.operators if count_operator_macs(one)] == [
        ("Convolution (NHWC, F32) IGEMM", (1, 33, 47, 24)),
        ("Fully Connected (NC, F32) GEMM", (1, 5)),
    ]
    unnamed = count_operators(build_network(), tmp_path / "unnamed.pte", by_operator=False)
    assert (unnamed.kinds, unnamed.operators) == (plain.kinds, ())
    left = count_operators(build_network(RunningSum()), tmp_path / "left.pte")
    assert left.outside > plain.outside + 24 * 33 * 47
    assert sum(one.instructions for one in left.operators) + left.outside == sum(left.kinds.values())
    split = [one.name for one in left.operators if count_operator_macs(one)]
    assert split == [one.name for one in plain.operators if count_operator_macs(one)], "operators of two delegates"


@with_marks
def test_the_gate_fails_when_an_operator_is_added(tmp_path: Path) -> None:
    before = count_network(build_network(), tmp_path / "before.pte")
    again = count_network(build_network(), tmp_path / "again.pte")
    assert again.counts[0].instructions == before.counts[0].instructions
    assert judge_instructions(again, before, 0).passed
    after = count_network(build_network(nn.Sigmoid()), tmp_path / "after.pte")
    verdict = judge_instructions(after, before, 0.01)
    assert not verdict.passed
    assert "more than the" in verdict.violations[0]


@with_marks
def test_the_demo_model_executes_no_more_than_recorded(demo: Lowered, capsys: pytest.CaptureFixture[str]) -> None:
    """A regression test for the latency on phones; after an intended change, write the file again.

    The command is in the guide on ARM64.
    """
    recorded = InstructionReport.load(DEMO_COUNTS)
    cpus = [CPUS[name] for name in dict.fromkeys(one.cpu.name for one in recorded.counts)]
    report = count_artifacts([demo("int8")], cpus=cpus)
    with capsys.disabled():
        for one in report.counts:
            sys.stdout.write(f"\n{one.program}, {one.cpu.name}: {one.instructions:,} instructions\n")
    verdict = judge_instructions(report, recorded, 0.01)
    assert verdict.passed, verdict.violations
    assert not verdict.caveats
    assert all(0 < one.minimum < one.instructions for one in report.counts if one.minimum is not None)


@with_marks
def test_functions_are_found_in_the_runtimes_library() -> None:
    functions = find_functions(find_library(open_sysroot()))
    assert len(functions) > 1000
    assert list(functions) == sorted(set(functions))


@pytest.mark.skipif(platform.system() != "Linux", reason="needs an ELF library")
def test_the_table_of_functions_of_a_library_of_this_machine_is_read() -> None:
    functions = find_functions(Path(torch.__file__).parent / "lib" / "libshm.so")
    assert len(functions) > 10
    assert list(functions) == sorted(set(functions))


@pytest.mark.parametrize(
    ("executed", "work"),
    [
        ({"sdot": 64, "load": 10, "other": 5}, "int8 products"),
        ({"widening": 10, "simd": 60, "load": 30}, "int8 products"),
        ({"fmla": 30, "load": 33, "simd": 7}, "float products"),
        ({"simd": 78, "load": 10, "store": 3}, "element-wise"),
        ({"permute": 25, "simd": 12, "load": 20, "store": 20}, "movement and control"),
        ({"load": 40, "store": 40, "branch": 10, "simd": 2}, "movement and control"),
    ],
)
def test_work_is_named_after_what_a_function_executes(executed: dict[str, int], work: str) -> None:
    assert name_work(executed) == work  # type: ignore[arg-type]


@pytest.mark.parametrize(("runs", "reason"), [(3, None), (2, "XNNPACK has 3 operators to run, and ran 2")])
def test_operators_that_ran_another_number_of_times_are_not_told_apart(runs: int, reason: str | None) -> None:
    described = ({"name": "Copy", "runs": 2}, {"name": "Add", "runs": 1})
    counts = _Counts(
        blocks=(), runs=(7,) * runs, outside=0, elsewhere=0, features=(), operators=described, unknown=None
    )
    assert _find_mismatch(counts) == reason

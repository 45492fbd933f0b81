"""Contestants run in processes of their own, take turns, and an error names the one that failed."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from shvit_mobile.bench.interleave import (
    TimedRun,
    build_results,
    compute_gops,
    find_rooflines,
    run_interleaved,
    select_roofline_precision,
)
from shvit_mobile.bench.roofline import build_roofline_subjects
from shvit_mobile.bench.worker import BenchmarkWorker, LoadMetrics
from shvit_mobile.contracts.device_report import Roofline
from shvit_mobile.errors import BenchmarkFailed, InvalidValue, MissingParameter, ToolMissing
from tests.bench.builders import QUICK, write_matmul_subject


def test_every_contestant_has_its_turn_in_every_round(tmp_path: Path) -> None:
    subjects = [write_matmul_subject(tmp_path, "small"), write_matmul_subject(tmp_path, "large", 256)]
    seen: list[tuple[int, int]] = []
    run = run_interleaved(subjects, QUICK, progress=lambda *at: seen.append(at))
    assert seen == [(done, 6) for done in range(1, 7)]
    assert not run.skipped
    small, large = build_results(run.runs, QUICK, {"fp32": Roofline(gops=1.0, reached_by="a stone")})
    assert [len(samples) for samples in small.samples_ms] == [QUICK.iterations] * QUICK.rounds
    assert small.ratio is None
    assert large.ratio is not None
    # A thousand times the arithmetic: no noise turns that round.
    assert large.ratio.high < 1
    assert large.latency.p50 > small.latency.p50 > 0
    assert large.roof_share == pytest.approx(compute_gops(256**3, large.latency.p50))
    assert large.load_ms > 0
    assert large.peak_memory_bytes is None or large.peak_memory_bytes > 4 * 256**2
    assert large.running_memory_bytes is None or large.running_memory_bytes > 4 * 256**2
    assert large.size_bytes == Path(subjects[1].source).stat().st_size


def test_a_worker_is_pinned_and_told_the_threads(tmp_path: Path) -> None:
    with closing(BenchmarkWorker(write_matmul_subject(tmp_path, "small"), threads=1, cpus=(0,))) as worker:
        samples = worker.run(4)
    assert len(samples) == 4
    assert min(samples) > 0


@pytest.mark.parametrize("damage", [b"", b"no model at all"])
def test_a_file_that_its_engine_refuses_is_told_by_name(tmp_path: Path, damage: bytes) -> None:
    subject = write_matmul_subject(tmp_path, "damaged")
    Path(subject.source).write_bytes(damage)
    with pytest.raises(BenchmarkFailed, match=r"damaged\.onnx"):
        run_interleaved([subject], QUICK)


def test_processors_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkFailed, match="Processors 4000 cannot be used"):
        BenchmarkWorker(write_matmul_subject(tmp_path, "small"), threads=1, cpus=(4000,))


def test_a_library_that_is_missing_stops_the_race_unless_it_is_optional(tmp_path: Path) -> None:
    there, absent = (
        write_matmul_subject(tmp_path, "there"),
        replace(write_matmul_subject(tmp_path, "absent"), engine="mnn"),
    )
    with pytest.raises(ToolMissing, match="absent needs MNN, which is not installed"):
        run_interleaved([there, absent], QUICK)
    run = run_interleaved([there, absent], QUICK, optional=frozenset({"absent"}))
    assert [one.subject.name for one in run.runs] == ["there"]
    assert [subject.name for subject, _ in run.skipped] == ["absent"]


def test_names_are_different_and_there_is_at_least_one(tmp_path: Path) -> None:
    subject = write_matmul_subject(tmp_path, "twin")
    with pytest.raises(InvalidValue, match="twin"):
        run_interleaved([subject, subject], QUICK)
    with pytest.raises(MissingParameter) as refused:
        run_interleaved([subject], QUICK.model_copy(update={"threads": None}))
    assert refused.value.parameter == "threads"
    with pytest.raises(MissingParameter) as refused:
        run_interleaved([], QUICK)
    assert refused.value.parameter == "subjects"


def test_the_roofs_of_this_machine(tmp_path: Path) -> None:
    run = run_interleaved(build_roofline_subjects(tmp_path), QUICK)
    roofs = find_rooflines(run.runs)
    assert roofs.keys() == {"fp32", "int8"}
    # Any processor of this century does a billion operations a second.
    assert all(roof.gops > 1 for roof in roofs.values())
    assert len(run.runs) == 4


def test_a_roof_is_the_best_of_its_precision(tmp_path: Path) -> None:
    slow, fast = (replace(write_matmul_subject(tmp_path, name), macs=10**6) for name in ("slow", "fast"))
    int8 = replace(slow, name="int8", precision="int8")
    loaded = LoadMetrics(1.0, 1.0, None, None)
    runs = [TimedRun(slow, loaded, ((4.0,),)), TimedRun(fast, loaded, ((2.0,),)), TimedRun(int8, loaded, ((1.0,),))]
    roofs = find_rooflines(runs)
    assert roofs["fp32"] == Roofline(gops=1.0, reached_by="fast")
    assert roofs["int8"] == Roofline(gops=2.0, reached_by="int8")
    assert [select_roofline_precision(name) for name in ("fp32", "fp16", "int8", "int8-dynamic", "int8-weights")] == [
        "fp32",
        "fp32",
        "int8",
        "int8",
        "fp32",
    ]

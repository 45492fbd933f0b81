"""The section on instructions: what programs execute for one image on emulated phone CPUs, by kind."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from shvit_mobile.contracts.instruction_report import InstructionCount, InstructionKind
from shvit_mobile.contracts.report import ModelReport
from shvit_mobile.report.charts.cells import draw_stacked_bar
from shvit_mobile.report.display_names import format_artifact_label
from shvit_mobile.report.formatting import format_percent

# What the parts of a bar are called, their color classes, and the kinds in each.
_PARTS: tuple[tuple[str, str, tuple[InstructionKind, ...]], ...] = (
    ("multiply-adds of int8", "c1", ("sdot", "smmla", "widening")),
    ("multiply-adds of floats", "c4", ("fmla",)),
    ("other SIMD", "c2", ("simd", "permute")),
    ("load and store", "c3", ("load", "store")),
    ("branches and other", "c6", ("branch", "other")),
)


@dataclass(frozen=True)
class _ProgramCount:
    """The instructions of one program on one CPU.

    Attributes:
        ratio: How many times the instructions of the first program on this CPU it executes.
        minimum: The share that multiply-adds alone would need; empty if it is unknown.
    """

    label: str
    file: str
    graphic: Markup
    millions: str
    ratio: str
    minimum: str


@dataclass(frozen=True)
class _CpuCounts:
    """All programs on one CPU."""

    name: str
    programs: tuple[_ProgramCount, ...]


def build_variables(report: ModelReport) -> dict[str, object] | None:
    counts = [one for counted in report.instructions for one in counted.counts]
    if not counts:
        return None
    most = max(one.instructions for one in counts)
    cpus = dict.fromkeys(one.cpu.name for one in counts)
    return {
        "cpus": [_build_cpu(report, name, [one for one in counts if one.cpu.name == name], most) for name in cpus],
        "legend": [(color, name) for name, color, _ in _PARTS],
        "engines": list(dict.fromkeys(counted.engine for counted in report.instructions)),
    }


def _build_cpu(report: ModelReport, name: str, counts: list[InstructionCount], most: int) -> _CpuCounts:
    first = counts[0].instructions
    return _CpuCounts(
        name,
        tuple(
            _ProgramCount(
                label=_find_label(report, one),
                file=one.program,
                graphic=_draw_kinds(one, most),
                millions=f"{one.instructions / 1e6:.2f}",
                ratio=f"{one.instructions / first:.3f}",
                minimum="" if one.minimum_share is None else f"{format_percent(one.minimum_share, 0)}%",
            )
            for one in counts
        ),
    )


def _find_label(report: ModelReport, count: InstructionCount) -> str:
    artifact = report.find_artifact(count.artifact_sha256)
    return count.program if artifact is None else format_artifact_label(artifact)


def _draw_kinds(count: InstructionCount, most: int) -> Markup:
    parts = {}
    for name, color, kinds in _PARTS:
        number = sum(count.kinds.get(kind, 0) for kind in kinds)
        parts[f"{name}: {number / 1e6:.2f} million"] = (float(number), color)
    return draw_stacked_bar(parts, most, ", ".join(parts))

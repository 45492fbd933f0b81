"""The section on instructions: what programs execute for one image on emulated phone CPUs, by kind and by operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from shvit_mobile.contracts.instruction_report import InstructionCount, InstructionKind, OperatorInstructions
from shvit_mobile.contracts.report import ModelReport
from shvit_mobile.report.charts.cells import draw_stacked_bar
from shvit_mobile.report.display_names import format_artifact_label
from shvit_mobile.report.formatting import format_percent, pluralize

# What the parts of a bar are called, their color classes, and the kinds in each.
_PARTS: tuple[tuple[str, str, tuple[InstructionKind, ...]], ...] = (
    ("multiply-adds of int8", "c1", ("sdot", "smmla", "widening")),
    ("multiply-adds of floats", "c4", ("fmla",)),
    ("other SIMD", "c2", ("simd", "permute")),
    ("load and store", "c3", ("load", "store")),
    ("branches and other", "c6", ("branch", "other")),
)

# The parts of an operator's bar.
_OPERATOR_PARTS = (("c1", "what its multiply-adds require"), ("c2", "all else that it executes"))
# Operators that are shown alone; a program has hundreds.
_SHOWN_OPERATORS = 15


@dataclass(frozen=True)
class _OperatorRow:
    """One operator, or several that are added up.

    Attributes:
        output: The dtype and the shape of its output; only the dtype of several, empty for what is outside.
        number: Its number in the order in which they run, or how many there are.
    """

    name: str
    output: str
    number: str
    graphic: Markup
    millions: str
    share: str
    minimum: str


@dataclass(frozen=True)
class _ProgramOperators:
    """The operators of one program on one CPU: added up by name and dtype, and those that execute most."""

    label: str
    file: str
    cpu: str
    sentence: str
    by_name: tuple[_OperatorRow, ...]
    most: tuple[_OperatorRow, ...]


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
        "programs": [_build_operators(report, one) for one in counts if one.operators],
        "operator_legend": _OPERATOR_PARTS,
        "shown_operators": _SHOWN_OPERATORS,
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


def _build_operators(report: ModelReport, count: InstructionCount) -> _ProgramOperators:
    ranked = count.rank_operators()
    kinds = dict.fromkeys((one.name, one.dtype) for one in count.operators)
    rows = [_add_up([one for one in count.operators if (one.name, one.dtype) == kind]) for kind in kinds]
    rows.sort(key=lambda row: -row[1][0])
    rows.append((("outside of operators", "", ""), (count.outside or 0, None)))
    longest = max(instructions for _, (instructions, _) in rows)
    return _ProgramOperators(
        label=_find_label(report, count),
        file=count.program,
        cpu=count.cpu.name,
        sentence=f"{pluralize(len(count.operators), 'operator')}, all that XNNPACK runs for one image.",
        by_name=tuple(_build_operator_row(count, words, figures, longest) for words, figures in rows),
        most=tuple(
            _build_operator_row(
                count,
                (one.name, one.describe_output(), str(number)),
                (one.instructions, one.minimum),
                ranked[0][1].instructions,
            )
            for number, one in ranked[:_SHOWN_OPERATORS]
        ),
    )


def _add_up(operators: Sequence[OperatorInstructions]) -> tuple[tuple[str, str, str], tuple[int, int | None]]:
    """Return the words and the figures of the row of operators with one name and dtype."""
    minima = [one.minimum for one in operators if one.minimum is not None]
    words = operators[0].name, operators[0].dtype, str(len(operators))
    return words, (sum(one.instructions for one in operators), sum(minima) if minima else None)


def _build_operator_row(
    count: InstructionCount, words: tuple[str, str, str], figures: tuple[int, int | None], most: int
) -> _OperatorRow:
    """Build a row of a name, an output and a number, and of instructions and their minimum.

    Args:
        most: The instructions that fill the width of a bar.
    """
    instructions, minimum = figures
    required = min(minimum or 0, instructions)
    parts = {
        f"{name}: {value / 1e6:.3f} million": (float(value), color)
        for (color, name), value in zip(_OPERATOR_PARTS, (required, instructions - required), strict=True)
    }
    return _OperatorRow(
        *words,
        graphic=draw_stacked_bar(parts, most, ", ".join(parts)),
        millions=f"{instructions / 1e6:.3f}",
        share=format_percent(instructions / count.instructions),
        minimum="" if minimum is None else f"{format_percent(minimum / instructions, 0)}%",
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

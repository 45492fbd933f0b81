"""The section on the range of every value in fp16."""

from dataclasses import dataclass
from math import isfinite, log2

from markupsafe import Markup

from shvit_mobile.contracts.drift_report import RangeReport, ValueRange
from shvit_mobile.contracts.report import ModelReport
from shvit_mobile.report.charts.cells import draw_range_bar
from shvit_mobile.report.display_names import format_artifact_label
from shvit_mobile.report.sentences import describe_ranges

_FP16_MAX = 65504.0
# The ends of the axis, in powers of two: from fp16's smallest normal number to beyond its largest.
_AXIS_LIMITS = (-14.0, 20.0)
_SHOWN_VALUES = 6


@dataclass(frozen=True)
class _RangeRow:
    """A value of the program; `past` if fp16 cannot represent it."""

    value: ValueRange
    graphic: Markup
    outcome: str
    past: bool


@dataclass(frozen=True)
class _ArtifactRanges:
    """The values of an artifact that are nearest to the limit, and the number of the others."""

    label: str
    report: RangeReport
    sentence: str
    rows: tuple[_RangeRow, ...]
    more: int


def build_variables(report: ModelReport) -> dict[str, object] | None:
    found = [_build_artifact_ranges(report, one) for drift in report.drift for one in drift.ranges]
    return {"reports": found} if found else None


def _build_artifact_ranges(report: ModelReport, one: RangeReport) -> _ArtifactRanges:
    known = next((artifact for artifact in report.artifacts if artifact.name == one.artifact), None)
    return _ArtifactRanges(
        label=format_artifact_label(known) if known else one.artifact,
        report=one,
        sentence=describe_ranges(one),
        rows=tuple(_build_range_row(value) for value in one.values[:_SHOWN_VALUES]),
        more=max(len(one.values) - _SHOWN_VALUES, 0),
    )


def _build_range_row(value: ValueRange) -> _RangeRow:
    fault = "not finite" if value.not_finite else "silent" if value.silent else ""
    past = bool(fault) or value.headroom_bits < 0
    low, high = _clamp_log2(value.smallest_peak), _clamp_log2(value.largest)
    graphic = draw_range_bar(low, high, log2(_FP16_MAX), _AXIS_LIMITS, past=past)
    return _RangeRow(value, graphic, fault or ("overflows" if past else "fits"), past)


def _clamp_log2(value: float) -> float:
    """Return the power of two within the axis."""
    if not isfinite(value):
        return _AXIS_LIMITS[1]
    return min(max(log2(value), _AXIS_LIMITS[0]), _AXIS_LIMITS[1]) if value > 0 else _AXIS_LIMITS[0]

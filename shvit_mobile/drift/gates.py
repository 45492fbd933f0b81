"""Checks drift against limits, and describes each figure that fails or that too few images leave open."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from shvit_mobile.contracts.drift_report import GateVerdict
from shvit_mobile.contracts.drift_row import DriftRow, ProportionEstimate
from shvit_mobile.drift.intervals import estimate_images_for_drop, estimate_images_for_proportion
from shvit_mobile.errors import InvalidValue, MissingParameter, NotSupported


@dataclass(frozen=True)
class Gate:
    """Limits of drift; None is no limit. A figure that equals its limit passes.

    Attributes:
        max_drop: Points of top-1 that the artifact may lose, 0 to 100; needs labels.
        min_agreement: The share of images on which both models must predict the same class, 0 to 1.
        min_top1: The share of images that the artifact must get right, 0 to 1; needs labels.
        min_sqnr: The SQNR that the logits, or each map, must have at least, in dB.

    Raises:
        InvalidValue: If a limit is out of range.
    """

    max_drop: float | None = None
    min_agreement: float | None = None
    min_top1: float | None = None
    min_sqnr: float | None = None

    @property
    def top1_limit(self) -> str | None:
        """The name of a limit that needs labels; None if no limit does."""
        return next((name for name in ("max_drop", "min_top1") if getattr(self, name) is not None), None)

    @property
    def class_limit(self) -> str | None:
        """The name of a limit that needs a classifier; None if no limit does."""
        return "min_agreement" if self.min_agreement is not None else self.top1_limit

    def __post_init__(self) -> None:
        _check_limit("max_drop", self.max_drop, 100, "It is in points of top-1, 0 to 100.")
        _check_limit("min_agreement", self.min_agreement, 1, "It is a share, 0 to 1.")
        _check_limit("min_top1", self.min_top1, 1, "It is a share, 0 to 1.")
        _check_limit("min_sqnr", self.min_sqnr, 200, "It is in decibels, 0 to 200.")


def evaluate_gate(rows: Iterable[DriftRow], gate: Gate) -> GateVerdict:
    """Return the verdict of `gate` on some rows.

    Raises:
        MissingParameter: If the gate limits top-1 and a row has no labels.
    """
    rows = list(rows)
    return GateVerdict.from_findings(
        (sentence for row in rows for sentence in find_violations(row, gate)),
        (sentence for row in rows for sentence in find_caveats(row, gate)),
    )


def find_violations(row: DriftRow, gate: Gate) -> list[str]:
    """Describe each figure of `row` that fails `gate`, with its value and interval.

    The measured values decide, not the ends of their intervals: see `find_caveats`. NaN fails.

    Raises:
        MissingParameter: If the gate limits top-1 and the row has no labels.
    """
    violations = []
    drop, drop_text = _describe_top1_drop(row, gate)
    if gate.max_drop is not None and not drop <= gate.max_drop:
        violations.append(f"{drop_text}, more than {gate.max_drop:g}.")
    for share, text, limit in _list_shares(row, gate):
        if not share.value >= limit:
            violations.append(f"{text}, less than {_format_percent(limit)}.")
    for name, decibels in _list_sqnrs(row, gate):
        if not decibels >= (gate.min_sqnr or 0):
            violations.append(f"the SQNR of {name} is {decibels:.2f} dB, less than {gate.min_sqnr:g}.")
    return [f"{row.artifact}: {sentence}" for sentence in violations]


def find_caveats(row: DriftRow, gate: Gate) -> list[str]:
    """Describe each figure of `row` that passes `gate` although its 95% interval reaches past the limit.

    The sentence says how many images would be enough.

    Raises:
        MissingParameter: If the gate limits top-1 and the row has no labels.
    """
    caveats = []
    drop, drop_text = _describe_top1_drop(row, gate)
    high = row.top1_drop_interval[1] if row.top1_drop_interval else drop
    if gate.max_drop is not None and drop <= gate.max_drop < high:
        needed = _estimate_images_for_gate(row, gate.max_drop)
        caveats.append(f"{drop_text}, within {gate.max_drop:g}, but {_format_sample_warning(row, needed)}.")
    for share, text, limit in _list_shares(row, gate):
        if share.low < limit <= share.value:
            needed = estimate_images_for_proportion(round(share.value * row.images), row.images, limit)
            caveats.append(f"{text}, at least {_format_percent(limit)}, but {_format_sample_warning(row, needed)}.")
    return [f"{row.artifact}: {sentence}" for sentence in caveats]


def _list_sqnrs(row: DriftRow, gate: Gate) -> list[tuple[str, float]]:
    """Return the name and the SQNR of the logits or of each map; nothing if the gate does not limit it."""
    if gate.min_sqnr is None:
        return []
    return [(one.name, one.sqnr_db) for one in row.maps] or [("the logits", row.sqnr_db)]


def _describe_top1_drop(row: DriftRow, gate: Gate) -> tuple[float, str]:
    """Return the top-1 drop in points and its description; (0, "") if the gate does not limit it."""
    if gate.max_drop is None:
        return 0.0, ""
    if row.top1_drop is None:
        raise _report_missing_labels(f"`max_drop={gate.max_drop:g}`", "max_drop", row)
    interval = row.top1_drop_interval
    within = "" if interval is None else f" (95% interval {interval[0]:.2f} to {interval[1]:.2f}, {row.images} images)"
    return row.top1_drop, f"the top-1 drop is {row.top1_drop:.4g} points{within}"


def _list_shares(row: DriftRow, gate: Gate) -> Iterator[tuple[ProportionEstimate, str, float]]:
    """Yield each share that the gate limits, its description, and its limit."""
    if gate.min_agreement is not None:
        if row.agreement is None:
            raise NotSupported(
                f"`min_agreement={gate.min_agreement:g}` needs a classifier.",
                why=f"{row.artifact} returns maps, which have no classes to agree on.",
                hint="Limit the SQNR of each map: `min_sqnr=25`.",
                parameter="min_agreement",
            )
        yield row.agreement, _describe_share("agreement", row.agreement, row), gate.min_agreement
    if gate.min_top1 is not None:
        if row.top1 is None:
            raise _report_missing_labels(f"`min_top1={gate.min_top1:g}`", "min_top1", row)
        yield row.top1, _describe_share("top-1", row.top1, row), gate.min_top1


def _describe_share(name: str, share: ProportionEstimate, row: DriftRow) -> str:
    interval = f"95% interval {100 * share.low:.2f}% to {100 * share.high:.2f}%"
    return f"{name} is {_format_percent(share.value)} ({interval}, {row.images} images)"


def _report_missing_labels(setting: str, parameter: str, row: DriftRow) -> MissingParameter:
    return MissingParameter(
        f"{setting} needs labels.",
        why=f"The {row.images} images of {row.artifact} have none, so that top-1 is unknown.",
        hint="Give labelled images, or limit the agreement with the float model: `min_agreement=0.985`.",
        parameter=parameter,
    )


def _estimate_images_for_gate(row: DriftRow, max_drop: float) -> int | None:
    """Return how many images put the interval of the drop within `max_drop`; None if no number does."""
    return estimate_images_for_drop(row.mcnemar.lost, row.mcnemar.gained, row.images, max_drop) if row.mcnemar else None


def _format_sample_warning(row: DriftRow, needed: int | None) -> str:
    enough = f"; {needed:,} would be enough, if the models continue to differ as often" if needed else ""
    return f"the interval reaches past it: {row.images} images are too few to be sure{enough}"


def _format_percent(share: float) -> str:
    """Return a share in percent with six digits: a figure just short of a limit must not read as the limit."""
    return f"{100 * share:.6g}%"


def _check_limit(name: str, value: float | None, high: float, meaning: str) -> None:
    if value is not None and not 0 <= value <= high:
        raise InvalidValue(f"`{name}` is {value:g}.", why=meaning, parameter=name)

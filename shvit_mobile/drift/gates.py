"""Checks drift against limits, and describes each figure that fails or that too few images leave open."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil

from shvit_mobile.contracts.drift_report import GateVerdict
from shvit_mobile.contracts.drift_row import DriftRow, ProportionEstimate
from shvit_mobile.drift.intervals import estimate_images_for_drop, estimate_images_for_proportion
from shvit_mobile.errors import InvalidValue, MissingParameter, NotSupported

# With fewer, one box more or less is many percent, and a float model that finds almost nothing agrees with everything.
MIN_COMPARED_BOXES = 20


@dataclass(frozen=True)
class Gate:
    """Limits of drift; None is no limit. A figure that equals its limit passes.

    Attributes:
        max_drop: Points of top-1, or of a detector's average precision, that the artifact may lose, 0 to 100; needs
            labels.
        min_agreement: The share of images on which both models must predict the same class, 0 to 1.
        min_top1: The share of images that the artifact must get right, 0 to 1; needs labels.
        min_sqnr: The SQNR that the logits, or each map, must have at least, in dB.
        min_box_agreement: Of the boxes that a detector or its float model finds, the share that both find, 0 to 1.

    Raises:
        InvalidValue: If a limit is out of range.
    """

    max_drop: float | None = None
    min_agreement: float | None = None
    min_top1: float | None = None
    min_sqnr: float | None = None
    min_box_agreement: float | None = None

    @property
    def label_limit(self) -> str | None:
        """The name of a limit that needs labels; None if no limit does."""
        return next((name for name in ("max_drop", "min_top1") if getattr(self, name) is not None), None)

    def __post_init__(self) -> None:
        _check_limit("max_drop", self.max_drop, 100, "It is in points of top-1 or average precision, 0 to 100.")
        _check_limit("min_agreement", self.min_agreement, 1, "It is a share, 0 to 1.")
        _check_limit("min_top1", self.min_top1, 1, "It is a share, 0 to 1.")
        _check_limit("min_sqnr", self.min_sqnr, 200, "It is in decibels, 0 to 200.")
        _check_limit("min_box_agreement", self.min_box_agreement, 1, "It is a share, 0 to 1.")


def evaluate_gate(rows: Iterable[DriftRow], gate: Gate) -> GateVerdict:
    """Return the verdict of `gate` on some rows.

    Raises:
        MissingParameter: If the gate limits what a row has no labels for.
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
        MissingParameter: If the gate limits what the row has no labels for.
    """
    violations = []
    if gate.max_drop is not None and not (drop := _get_drop(row, gate.max_drop)).points <= gate.max_drop:
        violations.append(f"{drop.text}, more than {gate.max_drop:g}.")
    for share in _list_shares(row, gate):
        if share.fault:
            violations.append(share.fault)
        elif not share.estimate.value >= share.limit:
            violations.append(f"{share.text}, less than {_format_percent(share.limit)}.")
    for name, decibels in _list_sqnrs(row, gate):
        if not decibels >= (gate.min_sqnr or 0):
            violations.append(f"the SQNR of {name} is {decibels:.2f} dB, less than {gate.min_sqnr:g}.")
    return [f"{row.artifact}: {sentence}" for sentence in violations]


def find_caveats(row: DriftRow, gate: Gate) -> list[str]:
    """Describe each figure of `row` that passes `gate` although its 95% interval reaches past the limit.

    The sentence says how many images would be enough.

    Raises:
        MissingParameter: If the gate limits what the row has no labels for.
    """
    caveats = []
    if gate.max_drop is not None and (drop := _get_drop(row, gate.max_drop)).points <= gate.max_drop < drop.high:
        needed = _estimate_images_for_gate(row, gate.max_drop)
        caveats.append(f"{drop.text}, within {gate.max_drop:g}, but {_format_sample_warning(row, needed)}.")
    for share in _list_shares(row, gate):
        if not share.fault and share.estimate.low < share.limit <= share.estimate.value:
            hits = round(share.estimate.value * share.count)
            enough = estimate_images_for_proportion(hits, share.count, share.limit)
            # Boxes come with images, as many in each as before.
            needed = enough and ceil(enough * row.images / share.count)
            limit = _format_percent(share.limit)
            caveats.append(f"{share.text}, at least {limit}, but {_format_sample_warning(row, needed)}.")
    return [f"{row.artifact}: {sentence}" for sentence in caveats]


def _list_sqnrs(row: DriftRow, gate: Gate) -> list[tuple[str, float]]:
    """Return the name and the SQNR of the logits or of each map; nothing if the gate does not limit it."""
    if gate.min_sqnr is None:
        return []
    return [(one.name, one.sqnr_db) for one in row.maps] or [("the logits", row.sqnr_db)]


@dataclass(frozen=True)
class _Drop:
    """Points lost, the upper end of their interval, and their description."""

    points: float
    high: float
    text: str


def _get_drop(row: DriftRow, limit: float) -> _Drop:
    """Return the drop of top-1, or of a detector's average precision.

    Raises:
        MissingParameter: If the row has no labels.
    """
    if precision := row.average_precision:
        what, points, interval = "AP drop", precision.drop, precision.drop_interval
    elif row.top1_drop is not None:
        what, points, interval = "top-1 drop", row.top1_drop, row.top1_drop_interval or (row.top1_drop,) * 2
    else:
        raise _report_missing_labels(f"`max_drop={limit:g}`", "max_drop", row)
    within = f"95% interval {interval[0]:.2f} to {interval[1]:.2f}, {row.images} images"
    return _Drop(points, interval[1], f"the {what} is {points:.4g} points ({within})")


@dataclass(frozen=True)
class _LimitedShare:
    """A share that a gate limits.

    Attributes:
        estimate: The share, with its interval.
        count: Of how many it is a share.
        limit: The least that passes.
        text: Its description.
        fault: Why it means nothing; empty if it does.
    """

    estimate: ProportionEstimate
    count: int
    limit: float
    text: str
    fault: str = ""


def _list_shares(row: DriftRow, gate: Gate) -> Iterator[_LimitedShare]:
    """Yield each share that the gate limits.

    Raises:
        NotSupported: If the row is of another task than the limit.
        MissingParameter: If the row has no labels.
    """
    if gate.min_agreement is not None:
        if row.agreement is None:
            raise NotSupported(
                f"`min_agreement={gate.min_agreement:g}` needs a classifier.",
                why=f"{row.artifact} returns maps, which have no classes to agree on.",
                hint="Limit the SQNR of each map: `min_sqnr=25`.",
                parameter="min_agreement",
            )
        yield _limit_images("agreement", row.agreement, gate.min_agreement, row)
    if gate.min_top1 is not None:
        if row.top1 is None:
            raise _report_missing_labels(f"`min_top1={gate.min_top1:g}`", "min_top1", row)
        yield _limit_images("top-1", row.top1, gate.min_top1, row)
    if gate.min_box_agreement is not None:
        yield _limit_boxes(row, gate.min_box_agreement)


def _limit_images(name: str, share: ProportionEstimate, limit: float, row: DriftRow) -> _LimitedShare:
    text = f"{name} is {_format_percent(share.value)} ({_format_interval(share)}, {row.images} images)"
    return _LimitedShare(share, row.images, limit, text)


def _limit_boxes(row: DriftRow, limit: float) -> _LimitedShare:
    """Return the share of shared boxes; with too few of the float model it says nothing.

    Raises:
        NotSupported: If the row is of no detector.
    """
    if row.boxes is None:
        raise NotSupported(
            f"`min_box_agreement={limit:g}` needs a detector.",
            why=f"{row.artifact} finds no boxes.",
            hint="For a classifier, limit the agreement on classes: `min_agreement=0.985`. For maps: `min_sqnr=25`.",
            parameter="min_box_agreement",
        )
    found, boxes = row.boxes.float_boxes, row.boxes
    fault = (
        ""
        if found >= MIN_COMPARED_BOXES
        else f"box agreement means nothing: the float model finds {found} boxes with a score above "
        f"{boxes.score_threshold:g} in {row.images} images, and {MIN_COMPARED_BOXES} are needed. "
        "Give more images, with objects of its classes."
    )
    count, share = found + boxes.boxes - boxes.matched, boxes.agreement
    if share is None:
        return _LimitedShare(ProportionEstimate(value=0, low=0, high=1), 1, limit, "", fault)
    text = f"box agreement is {_format_percent(share.value)} ({_format_interval(share)}, {count} boxes)"
    return _LimitedShare(share, count, limit, text, fault)


def _format_interval(share: ProportionEstimate) -> str:
    return f"95% interval {100 * share.low:.2f}% to {100 * share.high:.2f}%"


def _report_missing_labels(setting: str, parameter: str, row: DriftRow) -> MissingParameter:
    figure, instead = ("AP", "`min_box_agreement=0.9`") if row.boxes else ("top-1", "`min_agreement=0.985`")
    return MissingParameter(
        f"{setting} needs labels.",
        why=f"The {row.images} images of {row.artifact} have none, so that {figure} is unknown.",
        hint=f"Give labelled images, or limit the agreement with the float model: {instead}.",
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

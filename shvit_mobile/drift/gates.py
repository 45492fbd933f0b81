"""Gates: how much drift a person allows, and sentences on what a row of the table makes of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

from shvit_mobile.contracts.drift_report import GateVerdict
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.drift.intervals import estimate_images_for_drop, estimate_images_for_proportion
from shvit_mobile.errors import InvalidConfig


@dataclass(frozen=True)
class Gate:
    """Limits; None is no limit. A figure that equals its limit passes.

    Attributes:
        max_drop: points of top-1 that the artifact may lose against the float model, 0 to 100; needs labels.
        min_agreement: the share of images on which both must choose the same class, 0 to 1.
        max_error: the largest difference that any logit may have, at least 0.
        min_sqnr_db: the least signal-to-quantization-noise ratio of the logits, in dB.
        max_mean_kl: the largest mean Kullback-Leibler divergence, in nats, at least 0.

    Raises:
        InvalidConfig: a limit is not finite or outside its range.
    """

    max_drop: float | None = None
    min_agreement: float | None = None
    max_error: float | None = None
    min_sqnr_db: float | None = None
    max_mean_kl: float | None = None

    def __post_init__(self) -> None:
        check_limit("max-drop", self.max_drop, "Points of top-1, 0 to 100.", low=0, high=100)
        check_limit("min-agreement", self.min_agreement, "A share, 0 to 1: 98.5% is 0.985.", low=0, high=1)
        check_limit("max-error", self.max_error, "A difference of logits, at least 0.", low=0)
        check_limit("min-sqnr-db", self.min_sqnr_db, "A finite number of dB.")
        check_limit("max-mean-kl", self.max_mean_kl, "A divergence in nats, at least 0.", low=0)


def evaluate_gate(rows: Iterable[DriftRow], gate: Gate) -> GateVerdict:
    """The verdict of `gate` on some rows.

    Raises:
        InvalidConfig: as `find_violations`.
    """
    rows = list(rows)
    return GateVerdict.from_findings(
        (sentence for row in rows for sentence in find_violations(row, gate)),
        (sentence for row in rows for sentence in find_caveats(row, gate)),
    )


def find_violations(row: DriftRow, gate: Gate) -> list[str]:
    """One sentence for each figure of `row` that fails `gate`, with its value and interval; empty where all pass.

    The figures measured are held against the limits, not the ends of their intervals: see `find_caveats`. A figure that is
    NaN fails.

    Raises:
        InvalidConfig: the gate is on top-1 and the row has none, for want of labels.
    """
    found = []
    drop, drop_text = describe_top1_drop(row, gate)
    if gate.max_drop is not None and not drop <= gate.max_drop:
        found.append(f"{drop_text}, more than {gate.max_drop:g}.")
    if gate.min_agreement is not None and not row.agreement.value >= gate.min_agreement:
        found.append(f"{format_agreement(row)}, less than {format_percent(gate.min_agreement)}.")
    if gate.max_error is not None and not row.max_abs_error <= gate.max_error:
        found.append(f"the largest error of a logit is {row.max_abs_error:.3g}, more than {gate.max_error:g}.")
    if gate.min_sqnr_db is not None and not row.sqnr_db >= gate.min_sqnr_db:
        found.append(f"SQNR is {row.sqnr_db:.1f} dB, less than {gate.min_sqnr_db:g} dB.")
    if gate.max_mean_kl is not None and not row.mean_kl <= gate.max_mean_kl:
        found.append(f"mean KL is {row.mean_kl:.3g} nats, more than {gate.max_mean_kl:g}.")
    return [f"{row.artifact}: {sentence}" for sentence in found]


def find_caveats(row: DriftRow, gate: Gate) -> list[str]:
    """One sentence for each share of `row` that passes `gate` although too few images were seen to be sure of it.

    That is so where the 95% interval of the figure reaches past the limit. The sentence says how many images would do.

    Raises:
        InvalidConfig: as `find_violations`.
    """
    found = []
    drop, drop_text = describe_top1_drop(row, gate)
    high = row.top1_drop_interval[1] if row.top1_drop_interval else drop
    if gate.max_drop is not None and drop <= gate.max_drop < high:
        found.append(
            f"{drop_text}, within {gate.max_drop:g}, but {format_sample_warning(row, estimate_images_for_gate(row, gate.max_drop))}."
        )
    if gate.min_agreement is not None and row.agreement.low < gate.min_agreement <= row.agreement.value:
        needed = estimate_images_for_proportion(round(row.agreement.value * row.images), row.images, gate.min_agreement)
        found.append(
            f"{format_agreement(row)}, at least {format_percent(gate.min_agreement)}, but {format_sample_warning(row, needed)}."
        )
    return [f"{row.artifact}: {sentence}" for sentence in found]


def describe_top1_drop(row: DriftRow, gate: Gate) -> tuple[float, str]:
    """The top-1 drop in points and the words for it; (0, "") where the gate does not ask for it.

    Raises:
        InvalidConfig: the gate asks for it and the row has none.
    """
    if gate.max_drop is None:
        return 0.0, ""
    if row.top1_drop is None:
        raise InvalidConfig(
            f"There is no top-1 to hold against a drop of {gate.max_drop:g} points.",
            why=f"The {row.images} images of {row.artifact} have no labels, so nobody knows which answers are right.",
            hint="Give labelled images, or gate on agreement with the float model: --min-agreement 98.5",
        )
    interval = row.top1_drop_interval
    within = "" if interval is None else f" (95% interval {interval[0]:.2f} to {interval[1]:.2f}, {row.images} images)"
    return row.top1_drop, f"the top-1 drop is {row.top1_drop:.4g} points{within}"


def format_agreement(row: DriftRow) -> str:
    share = row.agreement
    interval = f"95% interval {100 * share.low:.2f}% to {100 * share.high:.2f}%"
    return f"agreement is {format_percent(share.value)} ({interval}, {row.images} images)"


def estimate_images_for_gate(row: DriftRow, max_drop: float) -> int | None:
    """How many images would put the interval of the drop inside `max_drop`, as `estimate_images_for_drop` says; None without."""
    return estimate_images_for_drop(row.mcnemar.lost, row.mcnemar.gained, row.images, max_drop) if row.mcnemar else None


def format_sample_warning(row: DriftRow, needed: int | None) -> str:
    enough = f"; {needed:,} would do, if the models went on differing as often" if needed else ""
    return f"the interval reaches past it: {row.images} images are too few to be sure{enough}"


def format_percent(share: float) -> str:
    """A share in percent, with digits enough that one just short of a limit does not read as the limit."""
    return f"{100 * share:.6g}%"


def check_limit(
    name: str, value: float | None, meaning: str, *, low: float | None = None, high: float | None = None
) -> None:
    if value is None:
        return
    if not isfinite(value) or (low is not None and value < low) or (high is not None and value > high):
        raise InvalidConfig(f"{name} is {value:g}.", why=meaning)

"""Sentences about results that the terminal and the page share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shvit_mobile.report.formatting import (
    format_ap,
    format_ap_drop,
    format_cosine,
    format_decibels,
    format_interval,
    format_number,
    format_percent,
    format_significant,
    format_thousands,
    join_words,
    pluralize,
)

if TYPE_CHECKING:
    from shvit_mobile.contracts.drift_report import CrossRuntimeDivergence, LayerReport, NeededImages, RangeReport
    from shvit_mobile.contracts.drift_row import AveragePrecisionDrift, BoxAgreement, DriftRow, MapDrift, McNemar

_SIGNIFICANCE_LEVEL = 0.05
NAMED_LAYERS = 5


def describe_cross_runtime_divergence(divergence: CrossRuntimeDivergence, name: str = "") -> str:
    """Describe how far the predictions of one program on two CPUs are from each other.

    Args:
        divergence: What was measured.
        name: What to call the artifact (default: its file name).
    """
    return (
        f"{name or divergence.artifact}: {divergence.second} chooses the same class as {divergence.first} on "
        f"{format_percent(divergence.agreement.value, 2)}% of {pluralize(divergence.images, 'image')}. The "
        f"largest logit error is {format_significant(divergence.max_abs_error)}, and the SQNR is "
        f"{format_decibels(divergence.sqnr_db)} dB."
    )


def describe_map_drift(drift: MapDrift) -> str:
    """Describe the drift of one map in one line."""
    return (
        f"{drift.name}: {format_decibels(drift.sqnr_db)} dB, cosine {format_cosine(drift.cosine)}, worst channel "
        f"{drift.worst_channel} {format_decibels(drift.worst_channel_db)} dB"
    )


def describe_box_agreement(boxes: BoxAgreement) -> str:
    """Describe how many boxes a detector shares with its float model, in one line."""
    share = boxes.agreement
    if share is None:
        return f"boxes: neither model finds any with a score above {boxes.score_threshold:g}"
    pairs = (
        f", mean IoU {format_number(boxes.mean_iou, 3)}, scores differ by up to "
        f"{format_significant(boxes.max_score_difference)}"
        if boxes.mean_iou is not None
        else ""
    )
    found = pluralize(boxes.float_boxes, "box", "boxes")
    return (
        f"boxes with a score above {boxes.score_threshold:g}: {found} of the float model, "
        f"{format_thousands(boxes.boxes)} of the artifact, {format_percent(share.value, 2)}% found by both "
        f"({format_interval(share)}){pairs}"
    )


def describe_average_precision(drift: AveragePrecisionDrift) -> str:
    """Describe how well a detector and its float model find the true boxes, in one line."""
    return (
        f"AP {format_ap(drift.ap)}% (float model {format_ap(drift.float_ap)}%), drop {format_ap_drop(drift)} points; "
        f"at an IoU of 0.5 {format_ap(drift.ap50)}% ({format_ap(drift.float_ap50)}%); "
        f"{pluralize(drift.true_boxes, 'true box', 'true boxes')}"
    )


def describe_row_details(row: DriftRow) -> tuple[str, ...]:
    """Describe each map of a row, and the boxes of a detector, a line each; nothing for a classifier."""
    boxes = (describe_box_agreement(row.boxes),) if row.boxes else ()
    precision = (describe_average_precision(row.average_precision),) if row.average_precision else ()
    return (*precision, *boxes, *map(describe_map_drift, row.maps))


def describe_mcnemar(test: McNemar) -> str:
    """Describe McNemar's test of the difference in top-1."""
    if test.lost + test.gained == 0:
        return "No prediction changed from right to wrong or from wrong to right."
    digits = 3 if test.p_value < 0.1 else 2
    p_value = "p < 0.001" if test.p_value < 0.001 else f"p = {format_number(test.p_value, digits)}"
    significant = "significant" if test.p_value < _SIGNIFICANCE_LEVEL else "not significant"
    return (
        f"{pluralize(test.lost, 'right prediction')} became wrong, and {pluralize(test.gained, 'wrong one')} became "
        f"right. The difference is {significant} (McNemar's exact test, {p_value})."
    )


def describe_needed_images(needed: NeededImages, count: int) -> str:
    """Describe how many images are needed to show that the drop of top-1 is within a budget.

    Args:
        needed: The budget, and the number of images that would show it.
        count: The number of images that were used.
    """
    budget = f"that top-1 drops by at most {needed.max_drop:g} point{'' if needed.max_drop == 1 else 's'}"
    if needed.supported:
        return f"{pluralize(count, 'image')} are enough to show {budget}."
    if needed.images is None:
        return f"No number of images would show {budget}: the measured drop is not below it."
    return (
        f"About {pluralize(needed.images, 'image')} would be needed to show {budget}, if the models continue to differ "
        f"as often. {pluralize(count, 'image')} were used."
    )


def describe_layers(report: LayerReport) -> str:
    """Describe where drift starts, and which layers cause most of it."""
    first = (
        f"The first layer below {report.threshold_db:g} dB is {report.first}."
        if report.first
        else f"No layer is below {report.threshold_db:g} dB."
    )
    alone = {row.layer: format_decibels(row.forced_db) for row in report.rows}
    worst = join_words([f"{layer} ({alone.get(layer, '')} dB)" for layer in report.worst[:NAMED_LAYERS]])
    named = f" The worst layers on their own (teacher-forced) are {worst}." if worst else ""
    return f"{first}{named} {pluralize(report.images, 'image')}, run by {report.engine}."


def describe_ranges(report: RangeReport) -> str:
    """Describe whether fp16 can represent every value of an artifact."""
    outcome = (
        f"{pluralize(len(report.flags), 'fault')}." if report.flags else "No value overflows, and no branch is silent."
    )
    computed = "" if report.computes_in_half else " The artifact computes in fp32; this is what would happen in fp16."
    return (
        f"{outcome} {pluralize(len(report.values), 'value')} on {pluralize(report.images, 'image')}, run by "
        f"{report.engine}.{computed}"
    )

"""Gates: what fails, what passes, and what passes only because few images were seen."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shvit_mobile.contracts.drift_row import AveragePrecisionDrift, BoxAgreement, DriftRow, MapDrift
from shvit_mobile.drift.gates import Gate, evaluate_gate, find_caveats, find_violations
from shvit_mobile.drift.intervals import (
    compute_drop_interval,
    compute_mcnemar_test,
    compute_wilson_interval,
    estimate_images_for_drop,
    estimate_images_for_proportion,
)
from shvit_mobile.errors import InvalidValue, MissingParameter, NotSupported


def build_row(*, images=500, lost=0, gained=0, agreeing=None, labelled=True, **figures):
    """A row as it comes out of `lost` and `gained` images and as many that agree."""
    row = {
        "artifact": "tiny-64-onnx-int8.onnx",
        "target": "onnx",
        "precision": "int8",
        "how": "native",
        "engine": "onnxruntime 1.23",
        "images": images,
        "agreement": compute_wilson_interval(images - lost - gained if agreeing is None else agreeing, images),
        "sqnr_db": 30.0,
        "max_abs_error": 0.25,
        "mean_kl": 0.01,
    }
    if labelled:
        row["top1"], row["float_top1"] = (compute_wilson_interval(images - wrong, images) for wrong in (lost, gained))
        row["top1_drop"] = 100 * (lost - gained) / images
        row["top1_drop_interval"] = compute_drop_interval(lost, gained, images)
        row["mcnemar"] = compute_mcnemar_test(lost, gained)
    return DriftRow(**(row | figures))


def test_a_drop_past_the_gate_is_told_with_its_value_its_interval_and_the_artifact():
    (sentence,) = find_violations(build_row(lost=4, gained=1), Gate(max_drop=0.5))
    low, high = compute_drop_interval(4, 1, 500)
    assert sentence.startswith("tiny-64-onnx-int8.onnx: the top-1 drop is 0.6 points")
    assert f"95% interval {low:.2f} to {high:.2f}, 500 images" in sentence
    assert sentence.endswith("more than 0.5.")


@given(st.integers(1, 1000), st.integers(0, 1000))
def test_a_drop_equal_to_the_gate_passes_and_one_image_more_does_not(images, lost):
    lost = min(lost, images - 1)
    limit = 100 * lost / images
    assert find_violations(build_row(images=images, lost=lost), Gate(max_drop=limit)) == []
    assert len(find_violations(build_row(images=images, lost=lost + 1), Gate(max_drop=limit))) == 1


def test_limits_typed_in_decimals_are_met_exactly():
    assert find_violations(build_row(images=1000, lost=3), Gate(max_drop=0.3)) == []
    assert find_violations(build_row(images=1000, agreeing=985), Gate(min_agreement=0.985)) == []
    assert find_violations(build_row(images=1000, agreeing=984), Gate(min_agreement=0.985)) == [
        "tiny-64-onnx-int8.onnx: agreement is 98.4% (95% interval 97.42% to 99.01%, 1000 images), less than 98.5%."
    ]


def test_nan_never_passes():
    assert find_violations(build_row(), Gate(max_drop=100)) == []
    (sentence,) = find_violations(build_row().model_copy(update={"top1_drop": math.nan}), Gate(max_drop=100))
    assert "nan" in sentence


def test_every_failing_figure_gets_its_sentence_and_no_limit_fails_nothing():
    row = build_row(lost=100, agreeing=400)
    assert len(find_violations(row, Gate(max_drop=0.5, min_agreement=0.985))) == 2
    assert find_violations(row, Gate()) == []
    assert find_caveats(row, Gate()) == []


def test_a_verdict_has_the_sentences_of_every_row_and_passes_without_violations():
    gate, good, bad = Gate(max_drop=0.5), build_row(images=50_000), build_row(lost=100)
    assert evaluate_gate([good], gate).passed
    verdict = evaluate_gate([bad, build_row(images=200), good], gate)
    assert not verdict.passed
    assert list(verdict.violations) == find_violations(bad, gate)
    assert list(verdict.caveats) == find_caveats(build_row(images=200), gate)
    assert not evaluate_gate([good], gate).extend(["too slow"]).passed
    more = evaluate_gate([good], gate).extend(caveats=["a word"])
    assert (more.passed, more.caveats) == (True, ("a word",))


def test_a_gate_on_top1_without_labels_is_an_error_that_points_to_agreement():
    row = build_row(labelled=False)
    for ask in (find_violations, find_caveats):
        with pytest.raises(MissingParameter) as refused:
            ask(row, Gate(max_drop=0.5))
        assert refused.value.parameter == "max_drop"
        assert "min_agreement" in refused.value.hint
    assert find_violations(row, Gate(min_agreement=0.9)) == []


def test_a_pass_that_too_few_images_cannot_support_says_so():
    gate = Gate(max_drop=0.5, min_agreement=0.985)
    drop, agreement = find_caveats(build_row(images=200, agreeing=200), gate)
    assert "the top-1 drop is 0 points" in drop
    assert "200 images are too few to be sure" in drop
    assert "agreement is 100% (95% interval 98.12% to 100.00%" in agreement
    assert drop.endswith(
        f"{estimate_images_for_drop(0, 0, 200, 0.5)} would be enough, if the models continue to differ as often."
    )
    assert f"; {estimate_images_for_proportion(200, 200, 0.985)} would be enough" in agreement
    (exact,) = find_caveats(build_row(images=200, lost=1), Gate(max_drop=0.5))
    assert exact.endswith("200 images are too few to be sure."), "at the limit itself no number would do"
    assert find_caveats(build_row(images=50_000), gate) == []
    assert find_caveats(build_row(images=200), Gate()) == []


def test_top1_has_a_limit_of_its_own_that_needs_labels():
    row = build_row(images=200, lost=20)
    assert find_violations(row, Gate(min_top1=0.9)) == []
    (caveat,) = find_caveats(row, Gate(min_top1=0.9))
    assert "top-1 is 90% (95% interval 85.06%" in caveat
    (violation,) = find_violations(row, Gate(min_top1=0.91))
    assert violation.endswith("less than 91%.")
    with pytest.raises(MissingParameter) as refused:
        find_violations(build_row(labelled=False), Gate(min_top1=0.9))
    assert refused.value.parameter == "min_top1"


@pytest.mark.parametrize(
    "limit",
    [
        {"max_drop": -0.1},
        {"max_drop": 101},
        {"max_drop": math.nan},
        {"min_agreement": 98.5},
        {"min_agreement": -0.1},
        {"max_drop": math.inf},
        {"min_top1": 90},
    ],
)
def test_a_limit_that_no_figure_could_meet_or_miss_is_refused(limit):
    (name,) = limit
    with pytest.raises(InvalidValue) as refused:
        Gate(**limit)
    assert refused.value.parameter == name


def build_detector_row(*, float_boxes=200, boxes=200, matched=200, precision=None):
    """The row of a detector with these boxes, and with (AP, AP of the float model, interval of the drop)."""
    found = float_boxes + boxes - matched
    figures = {}
    if precision is not None:
        ap, float_ap, interval = precision
        figures["average_precision"] = AveragePrecisionDrift(
            true_boxes=500,
            ap=ap,
            float_ap=float_ap,
            ap50=ap,
            float_ap50=float_ap,
            drop=float_ap - ap,
            drop_interval=interval,
        )
    return DriftRow(
        artifact="tiny-detect-64-onnx-int8.onnx",
        target="onnx",
        precision="int8",
        how="native",
        engine="onnxruntime 1.23",
        images=50,
        sqnr_db=30.0,
        max_abs_error=0.25,
        maps=[
            MapDrift(
                name="scores16", sqnr_db=30.0, cosine=0.99, worst_channel=0, worst_channel_db=20.0, max_abs_error=0.25
            )
        ],
        boxes=BoxAgreement(
            score_threshold=0.3,
            iou_threshold=0.5,
            float_boxes=float_boxes,
            boxes=boxes,
            matched=matched,
            agreement=compute_wilson_interval(matched, found) if found else None,
            mean_iou=0.9 if matched else None,
            max_score_difference=0.1 if matched else None,
        ),
        **figures,
    )


def test_boxes_that_only_one_model_finds_fail_the_gate():
    row = build_detector_row(float_boxes=190, boxes=195, matched=185)
    assert find_violations(row, Gate(min_box_agreement=0.925)) == []
    (sentence,) = find_violations(row, Gate(min_box_agreement=0.926))
    assert sentence.startswith("tiny-detect-64-onnx-int8.onnx: box agreement is 92.5% (95% interval ")
    assert sentence.endswith("200 boxes), less than 92.6%.")


@pytest.mark.parametrize(("float_boxes", "boxes", "matched"), [(0, 0, 0), (19, 19, 19), (0, 300, 0)])
def test_too_few_boxes_of_the_float_model_fail_the_gate_whatever_they_are(float_boxes, boxes, matched):
    row = build_detector_row(float_boxes=float_boxes, boxes=boxes, matched=matched)
    (sentence,) = find_violations(row, Gate(min_box_agreement=0))
    assert f"means nothing: the float model finds {float_boxes} boxes" in sentence
    assert find_caveats(row, Gate(min_box_agreement=0)) == []
    assert find_violations(build_detector_row(float_boxes=20, boxes=20, matched=20), Gate(min_box_agreement=1)) == []


def test_an_interval_of_boxes_past_the_limit_says_how_many_images_are_enough():
    row = build_detector_row(float_boxes=100, boxes=100, matched=98)
    (sentence,) = find_caveats(row, Gate(min_box_agreement=0.95))
    enough = math.ceil(estimate_images_for_proportion(98, 102, 0.95) * 50 / 102)
    assert "50 images are too few to be sure" in sentence
    assert f"{enough:,} would be enough" in sentence


def test_a_drop_of_average_precision_is_held_against_the_gate():
    row = build_detector_row(precision=(40.0, 41.0, (-0.5, 2.5)))
    (sentence,) = find_violations(row, Gate(max_drop=0.9))
    assert sentence.endswith("the AP drop is 1 points (95% interval -0.50 to 2.50, 50 images), more than 0.9.")
    assert find_violations(row, Gate(max_drop=1)) == []
    assert len(find_caveats(row, Gate(max_drop=1))) == 1
    assert find_caveats(row, Gate(max_drop=2.5)) == []


def test_a_limit_of_another_task_or_without_labels_is_refused():
    with pytest.raises(NotSupported):
        find_violations(build_row(), Gate(min_box_agreement=0.9))
    with pytest.raises(NotSupported):
        find_violations(build_detector_row(), Gate(min_agreement=0.9))
    with pytest.raises(MissingParameter) as caught:
        find_violations(build_detector_row(), Gate(max_drop=1))
    assert "min_box_agreement" in caught.value.hint
    with pytest.raises(InvalidValue):
        Gate(min_box_agreement=90)

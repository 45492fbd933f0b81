"""Statistics are described in words that say what they show."""

from __future__ import annotations

from shvit_mobile.contracts.drift_report import NeededImages
from shvit_mobile.drift.intervals import compute_mcnemar_test
from shvit_mobile.report.formatting import pluralize
from shvit_mobile.report.sentences import describe_mcnemar, describe_needed_images


def test_mcnemars_test_is_described_with_its_counts_and_significance() -> None:
    assert "No prediction changed" in describe_mcnemar(compute_mcnemar_test(0, 0))
    similar, worse, better = (
        describe_mcnemar(compute_mcnemar_test(lost, gained)) for lost, gained in ((3, 2), (20, 4), (4, 20))
    )
    assert "3 right predictions became wrong, and 2 wrong ones became right" in similar
    assert "not significant" in similar
    assert "not significant" not in worse
    assert "not significant" not in better
    assert "20 right" in worse
    assert "20 wrong" in better


def test_the_number_of_images_that_a_budget_needs_is_described() -> None:
    enough, more, never = (
        describe_needed_images(NeededImages(max_drop=0.5, supported=images == 765, images=images), 2000)
        for images in (765, 3358, None)
    )
    assert f"{pluralize(2000, 'image')} are enough" in enough
    assert f"{pluralize(3358, 'image')} would be needed" in more
    assert "No number of images" in never

"""Each step towards a better int8 does what it says, is kept only where it helps, and is found again bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from shvit_mobile.contracts.recipe import PTQ_PASSES, PTQPassName
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.images.image_set import open_images
from shvit_mobile.quantize.affine import choose_affine_parameters, compute_channel_scales, quantize_weight
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.quantize.passes import MIN_GAIN_DB, PTQPassManager, QuantState, split_calibration_pixels
from tests.builders import (
    add_outliers,
    build_random_shvit,
    build_trained_model,
    draw_smooth_pixels,
    write_picture_folder,
)
from tests.programs import SMALL

FIRST = "patch_embed.0"


def pixels(count: int, seed: int = 0) -> NDArray[np.uint8]:
    drawn: NDArray[np.uint8] = (
        draw_smooth_pixels(count, (64, 64), seed=seed).permute(0, 2, 3, 1).to(torch.uint8).numpy()
    )
    return drawn


@pytest.fixture(scope="module")
def plain() -> DeployForm:
    return to_deploy_form(build_trained_model(build_random_shvit(seed=2)))


@pytest.fixture(scope="module")
def outliers() -> DeployForm:
    return to_deploy_form(build_trained_model(add_outliers(build_random_shvit(seed=2), factor=64)))


@pytest.fixture(scope="module")
def improvement(outliers: DeployForm) -> PTQPassManager:
    return PTQPassManager(outliers, pixels(24))


@pytest.fixture(scope="module")
def start(improvement: PTQPassManager) -> QuantState:
    return improvement.calibrate_baseline()


def test_pixels_less_a_whole_number_are_int8_without_an_error(improvement: PTQPassManager, start: QuantState) -> None:
    changed = improvement.make_input_exact(start)
    seen, mean = changed.ranges[FIRST].input, changed.overrides.mean
    assert mean is not None
    assert torch.equal(mean, mean.round())
    values = torch.arange(256).float() - mean[0]
    held = choose_affine_parameters(*seen)
    integers = (values / held.scale).round() + held.zero_point
    assert -128 <= int(integers.min()) <= int(integers.max()) <= 127
    assert torch.equal((integers - held.zero_point) * held.scale, values)
    # Which plain int8 does not do.
    before, offset = (
        choose_affine_parameters(*start.ranges[FIRST].input),
        improvement.deployed.module.get_submodule("patch_embed.centre"),
    )
    inputs = torch.arange(256).float() - offset.mean[0, 0]
    assert not torch.allclose((inputs / before.scale).round() * before.scale, inputs, atol=0.05)


def test_within_the_picture_nothing_but_rounding_changes(improvement: PTQPassManager, start: QuantState) -> None:
    changed = improvement.build_unrounded_form(improvement.make_input_exact(start)).patch_embed
    given = improvement.deployed.module.patch_embed
    pictures = draw_smooth_pixels(2, (64, 64), seed=9)
    with torch.no_grad():
        expected, actual = given[1](given[0](pictures)), changed[1](changed[0](pictures))
    # The topmost row and the leftmost column see the padding, which means another colour now.
    torch.testing.assert_close(actual[:, :, 1:, 1:], expected[:, :, 1:, 1:], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(actual[:, :, 0], expected[:, :, 0], atol=1e-3)


def test_pictures_that_are_normalised_before_have_no_whole_pixels() -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(seed=2)), normalise=False)
    (begun, _), (attempt, gains) = PTQPassManager(deployed, pixels(8)).run_passes(["whole-pixels"])
    assert attempt is begun
    assert [(gain.step, gain.kept, gain.after_db - gain.before_db) for gain in gains] == [("whole-pixels", False, 0)]


def test_equalising_saves_a_model_with_outliers(improvement: PTQPassManager, start: QuantState) -> None:
    changed = improvement.equalize(start)
    before, after = (improvement.evaluate(attempt, weights=False) for attempt in (start, changed))
    assert after > before + 6
    parts = {chain.name for chain in improvement.deployed.wiring.groups if chain.name.endswith("pw1")}
    assert parts <= changed.overrides.exponents.keys()
    # The largest channel of each was 64 times too large.
    assert all(int(changed.overrides.exponents[name].min()) <= -4 for name in parts)


def test_equalising_keeps_no_kind_of_chain_that_does_not_help(plain: DeployForm) -> None:
    under_way = PTQPassManager(plain, pixels(24), observer="min-max")
    start = under_way.calibrate_baseline()
    changed = under_way.equalize(start)
    before, after = (under_way.evaluate(attempt, weights=False) for attempt in (start, changed))
    assert changed is start or after > before + MIN_GAIN_DB


def test_equalising_moves_biases_that_were_corrected_before(improvement: PTQPassManager, start: QuantState) -> None:
    whole = improvement.make_input_exact(start)
    exponents = {FIRST: torch.tensor([3, -2], dtype=torch.int8)}
    changed = improvement.apply_exponents(whole, exponents)
    expected = whole.overrides.biases[FIRST] * torch.tensor([8.0, 0.25])
    torch.testing.assert_close(changed.overrides.biases[FIRST], expected, rtol=1e-5, atol=1e-6)
    assert changed.ranges[FIRST].input == whole.ranges[FIRST].input
    assert changed.ranges[FIRST].output != whole.ranges[FIRST].output
    with torch.no_grad():
        pictures = draw_smooth_pixels(2, (64, 64), seed=9)
        expected = improvement.build_unrounded_form(whole)(pictures)
        torch.testing.assert_close(improvement.build_unrounded_form(changed)(pictures), expected, rtol=1e-4, atol=1e-4)


def test_rounding_by_output_helps(improvement: PTQPassManager, start: QuantState) -> None:
    changed = improvement.round_weights(start)
    assert improvement.evaluate(changed) > improvement.evaluate(start) + MIN_GAIN_DB
    module, differing = improvement.deployed.module, 0
    for name, integers in changed.overrides.integers.items():
        weight = module.get_submodule(name).weight
        assert torch.equal(changed.overrides.scales[name], compute_channel_scales(weight))
        differing += int((integers != quantize_weight(weight)[0]).sum())
    assert differing > 100
    assert set(changed.overrides.integers) == set(improvement.layers)


def test_rounding_keeps_the_scales_of_clipping(improvement: PTQPassManager, start: QuantState) -> None:
    clipped = improvement.clip_weights(start)
    rounded = improvement.round_weights(clipped)
    for name, scales in clipped.overrides.scales.items():
        assert torch.equal(rounded.overrides.scales[name], scales)


def test_clipping_lessens_what_the_output_of_each_channel_loses(improvement: PTQPassManager, start: QuantState) -> None:
    changed, smaller = improvement.clip_weights(start), 0
    for name, inputs in improvement.collect_input_moments(start).items():
        weight = improvement.deployed.module.get_submodule(name).weight
        scales, integers = changed.overrides.scales[name], changed.overrides.integers[name]
        assert bool((scales <= compute_channel_scales(weight)).all())
        lost = []
        for steps, sizes in ((integers, scales), quantize_weight(weight)):
            difference = (steps * sizes.reshape(-1, 1, 1, 1) - weight).flatten(1).double()
            lost.append(difference.square() @ inputs.moments.diagonal())
        assert bool((lost[0] <= lost[1] * (1 + 1e-5) + 1e-12).all())
        smaller += int((lost[0] < 0.99 * lost[1]).sum())
    assert smaller > 0


def test_a_corrected_bias_takes_away_what_rounding_adds_to_the_mean(
    improvement: PTQPassManager, start: QuantState
) -> None:
    changed = improvement.correct_biases(start)
    for name, inputs in improvement.collect_input_moments(start).items():
        layer = improvement.deployed.module.get_submodule(name)
        integers, scales = quantize_weight(layer.weight)
        rounded = (integers * scales.reshape(-1, 1, 1, 1)).flatten(1).double()
        before = layer.weight.flatten(1).double() @ inputs.mean + layer.bias
        after = rounded @ inputs.mean + changed.overrides.biases[name]
        torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
        assert not torch.equal(changed.overrides.biases[name], layer.bias)


def test_steps_are_told_one_by_one_and_kept_where_they_help(improvement: PTQPassManager) -> None:
    told = list(improvement.run_passes(PTQ_PASSES))
    assert [len(gains) for _, gains in told] == list(range(len(PTQ_PASSES) + 1))
    (attempt, gains), last = told[-1], told[0][0]
    assert tuple(gain.step for gain in gains) == PTQ_PASSES
    for (now, so_far), gain in zip(told[1:], gains, strict=True):
        assert so_far[-1] == gain
        assert gain.kept == (now is not last)
        # Both are rounded to two digits for the reader.
        assert (
            gain.kept == (gain.after_db > gain.before_db + MIN_GAIN_DB)
            or abs(gain.after_db - gain.before_db - MIN_GAIN_DB) < 0.011
        )
        last = now
    assert {"equalise", "round"} <= {gain.step for gain in gains if gain.kept}
    kept = [gain for gain in gains if gain.kept and gain.step in ("clip", "round", "bias")]
    assert improvement.evaluate(attempt) == pytest.approx(kept[-1].after_db, abs=0.006)
    assert improvement.evaluate(attempt) > improvement.evaluate(told[0][0]) + 6


@pytest.mark.parametrize("step", ["clip", "round", "bias"])
def test_a_step_that_does_not_help_is_not_kept_and_says_so(
    step: PTQPassName, improvement: PTQPassManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worse(attempt: QuantState) -> QuantState:
        return QuantState(
            {name: seen.model_copy(update={"output": (0.0, 0.1)}) for name, seen in attempt.ranges.items()}
        )

    monkeypatch.setitem(improvement.passes, step, worse)
    (begun, _), (attempt, (gain,)) = improvement.run_passes([step])
    assert attempt is begun
    assert not gain.kept
    assert gain.after_db < gain.before_db


def test_a_state_is_judged_once_with_weights_and_once_without(outliers: DeployForm, monkeypatch) -> None:
    judged = PTQPassManager(outliers, pixels(12))
    start, runs = judged.calibrate_baseline(), list[bool]()
    compute = judged._compute_level
    monkeypatch.setattr(
        judged, "_compute_level", lambda state, weights: (runs.append(weights), compute(state, weights=weights))[1]
    )
    levels = [judged.evaluate(start, weights=weights) for weights in (True, False, True, False)]
    assert runs == [True, False]
    assert levels[:2] == levels[2:]
    assert levels[0] != levels[1]


def test_images_that_judge_are_not_learnt_from() -> None:
    for count, judges in ((8, 2), (24, 6), (300, 64)):
        numbered = np.arange(count, dtype=np.uint16)
        learn, judging = split_calibration_pixels(numbered)
        assert len(judging) == judges
        assert sorted([*learn, *judging]) == list(range(count))


def test_few_images_both_teach_and_judge() -> None:
    for count in (1, 7):
        learn, judging = split_calibration_pixels(pixels(count))
        assert len(learn) == len(judging) == count


def test_one_image_is_enough_for_every_step() -> None:
    under_way = PTQPassManager(to_deploy_form(build_trained_model(build_random_shvit(SMALL, seed=2))), pixels(1))
    *_, (attempt, gains) = under_way.run_passes(PTQ_PASSES)
    assert len(gains) == len(PTQ_PASSES)
    assert np.isfinite([gain.after_db for gain in gains]).all()
    assert under_way.evaluate(attempt) >= under_way.evaluate(under_way.calibrate_baseline())


def test_the_same_images_give_the_same_recipe_byte_for_byte(tmp_path: Path) -> None:
    deployed = to_deploy_form(build_trained_model(add_outliers(build_random_shvit(SMALL, seed=2), factor=64)))
    images = open_images(write_picture_folder(tmp_path, count=9))

    (first, overrides), (second, others) = (
        calibrate_recipe(deployed, images, count=9, steps=PTQ_PASSES) for _ in range(2)
    )
    assert first.to_json() == second.to_json()
    assert overrides is not None
    assert others is not None
    assert overrides.file_bytes == others.file_bytes
    assert [gain.step for gain in first.steps] == list(PTQ_PASSES)

"""What a target cannot follow of a recipe is said, and what it does follow is not complained of."""

from importlib import import_module
from pathlib import Path

import pytest

from shvit_mobile.contracts.manifest import TARGET_SUFFIXES, Target
from shvit_mobile.contracts.recipe import (
    FLOAT_KINDS,
    PALETTE_FLOAT_KINDS,
    PALETTE_PRECISIONS,
    PRECISIONS,
    Precision,
    Recipe,
)
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.errors import BadRecipe
from shvit_mobile.pipeline.lower import TARGET_MODULES, lower
from shvit_mobile.targets.capabilities import NEAREST_PRECISIONS, list_unsupported
from tests.builders import build_random_shvit, build_trained_model

ALL_TARGETS: tuple[Target, ...] = tuple(TARGET_SUFFIXES)


@pytest.mark.parametrize("target", ALL_TARGETS)
def test_every_precision_a_target_lacks_has_a_nearest_that_it_has(target: Target) -> None:
    able = import_module(TARGET_MODULES[target][0]).PRECISIONS
    assert set(NEAREST_PRECISIONS[target]) == set(PRECISIONS) - set(able)
    assert {nearest for nearest, _ in NEAREST_PRECISIONS[target].values()} <= set(able)


@pytest.mark.parametrize("target", ALL_TARGETS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_calibration_gives_is_followed_wherever_the_precision_is(target: Target, precision: Precision) -> None:
    kinds = PALETTE_FLOAT_KINDS if precision in PALETTE_PRECISIONS else FLOAT_KINDS
    told = list_unsupported(Recipe(precision=precision, float_kinds=kinds), target)
    assert len(told) == (precision in NEAREST_PRECISIONS[target])


def test_a_precision_that_is_not_there_is_refused_with_the_nearest(tmp_path: Path) -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit()))
    with pytest.raises(BadRecipe, match=r"onnx has no int8-dynamic: .*fixed") as refused:
        lower(deployed, Recipe(precision="int8-dynamic"), "onnx", tmp_path)
    assert refused.value.hint.endswith("--target onnx --quantize int8")
    assert not any(tmp_path.iterdir())


def test_an_int8_softmax_is_not_to_be_had_on_xnnpack() -> None:
    kinds = tuple(kind for kind in FLOAT_KINDS if kind != "attention")
    told = list_unsupported(Recipe(precision="int8", float_kinds=kinds), "executorch")
    assert told == (
        "executorch keeps attention in float, which the recipe wants in int8: XNNPACK has no int8 softmax.",
    )


def test_an_int8_head_is_an_option_of_executorch_alone() -> None:
    recipe = Recipe(precision="int8", float_kinds=tuple(kind for kind in FLOAT_KINDS if kind != "head"))
    assert "--head int8-dynamic" in list_unsupported(recipe, "executorch")[0]
    assert not any("--head" in told for target in ("onnx", "coreml") for told in list_unsupported(recipe, target))


def test_kinds_kept_for_one_reason_share_a_sentence() -> None:
    (told,) = list_unsupported(Recipe(precision="int8"), "onnx")
    assert all(kind in told for kind in FLOAT_KINDS)


def test_small_weights_are_told_apart_by_kind_alone() -> None:
    recipe = Recipe(precision="int8-weights", float_layers=("patch_embed.0",))
    assert "patch_embed.0" in list_unsupported(recipe, "coreml")[0]

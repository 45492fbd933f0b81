"""A target reports each part of a recipe that it does not support, and nothing else."""

from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

from shvit_mobile.contracts.manifest import QualifiedTarget
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

ALL_TARGETS: tuple[QualifiedTarget, ...] = get_args(QualifiedTarget)


@pytest.mark.parametrize("target", ALL_TARGETS)
def test_every_precision_a_target_lacks_has_a_nearest_that_it_has(target: QualifiedTarget) -> None:
    name, _, delegate = target.partition("-")
    supported = import_module(TARGET_MODULES[name][0]).PRECISIONS  # type: ignore[index]
    if name == "executorch":
        supported = supported[delegate or "xnnpack"]
    assert set(NEAREST_PRECISIONS[target]) == set(PRECISIONS) - set(supported)
    assert {nearest for nearest, _ in NEAREST_PRECISIONS[target].values()} <= set(supported)


@pytest.mark.parametrize("target", ALL_TARGETS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_supported_precision_is_supported_as_calibration_writes_it(
    target: QualifiedTarget, precision: Precision
) -> None:
    kinds = PALETTE_FLOAT_KINDS if precision in PALETTE_PRECISIONS else FLOAT_KINDS
    sentences = list_unsupported(Recipe(precision=precision, float_kinds=kinds), target)
    assert len(sentences) == (precision in NEAREST_PRECISIONS[target])


def test_an_unsupported_precision_is_rejected_with_the_nearest(tmp_path: Path) -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit()))
    with pytest.raises(BadRecipe, match=r"onnx has no int8-dynamic: .*fixed") as error:
        lower(deployed, Recipe(precision="int8-dynamic"), "onnx", tmp_path)
    assert "int8" in error.value.hint
    assert not any(tmp_path.iterdir())


def test_xnnpack_has_no_int8_softmax() -> None:
    kinds = tuple(kind for kind in FLOAT_KINDS if kind != "attention")
    sentences = list_unsupported(Recipe(precision="int8", float_kinds=kinds), "executorch")
    assert sentences == [
        "executorch keeps attention in float, although the recipe has int8: XNNPACK has no int8 softmax."
    ]


def test_an_int8_head_is_an_option_of_executorch_alone() -> None:
    recipe = Recipe(precision="int8", float_kinds=tuple(kind for kind in FLOAT_KINDS if kind != "head"))
    assert "head int8-dynamic" in list_unsupported(recipe, "executorch")[0]
    assert not any(
        "head int8-dynamic" in sentence
        for target in ("onnx", "coreml")
        for sentence in list_unsupported(recipe, target)
    )


def test_kinds_kept_for_one_reason_share_a_sentence() -> None:
    (sentence,) = list_unsupported(Recipe(precision="int8"), "onnx")
    assert all(kind in sentence for kind in FLOAT_KINDS)


def test_weight_only_precisions_do_not_support_float_layers() -> None:
    recipe = Recipe(precision="int8-weights", float_layers=("patch_embed.0",))
    assert "patch_embed.0" in list_unsupported(recipe, "coreml")[0]

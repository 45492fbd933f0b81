"""Which SHViT it is, out of the shapes of its tensors."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shvit_mobile.families.shvit import VARIANTS, SHViTConfig
from shvit_mobile.families.shvit_config import compute_expected_shapes, find_simplest_ratio, find_variant, infer_config
from tests.builders import TINY

CUSTOM = {
    "one stage": SHViTConfig(dims=(16,), partial_dims=(4,), qk_dims=(4,), depths=(2,), block_types=("s",)),
    "four stages": SHViTConfig(
        dims=(16, 24, 32, 40),
        partial_dims=(4, 6, 8, 10),
        qk_dims=(4, 4, 8, 8),
        depths=(1, 1, 2, 1),
        block_types=("i", "s", "i", "s"),
    ),
    "kernel 5": replace(TINY, kernel_size=5),
    "kernel 1": replace(TINY, kernel_size=1),
    "ratio 1.3": replace(TINY, mlp_ratio=1.3),
    "grey": replace(TINY, in_channels=1),
    "distilled": replace(TINY, distilled=True),
    "no blocks in a stage": replace(TINY, depths=(1, 0, 1), block_types=("i", "i", "s")),
}


@pytest.mark.parametrize("distilled", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_is_found_whatever_its_classes_and_heads(variant, distilled):
    config = replace(VARIANTS[variant], classes=37, distilled=distilled)
    assert infer_config(compute_expected_shapes(config)) == config
    assert find_variant(config) == variant


@pytest.mark.parametrize("config", CUSTOM.values(), ids=CUSTOM)
def test_a_custom_configuration_gives_the_same_tensors(config):
    shapes = compute_expected_shapes(config)
    found = infer_config(shapes)
    assert found is not None
    assert compute_expected_shapes(found) == shapes
    assert find_variant(found) == "custom"
    assert (found.kernel_size, found.mlp_ratio, found.in_channels) == (
        config.kernel_size,
        config.mlp_ratio,
        config.in_channels,
    )


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_configuration_is_found_by_its_shapes(data):
    stages = data.draw(st.integers(1, 3))
    each = {"min_size": stages, "max_size": stages}
    dims = [
        8 * data.draw(st.integers(1, 3)),
        *data.draw(st.lists(st.integers(2, 30), min_size=stages - 1, max_size=stages - 1)),
    ]
    config = SHViTConfig(
        dims=tuple(dims),
        partial_dims=tuple(data.draw(st.integers(1, dim - 1)) for dim in dims),
        qk_dims=tuple(data.draw(st.lists(st.integers(1, 9), **each))),
        depths=tuple(data.draw(st.lists(st.integers(1, 2), **each))),
        block_types=tuple(data.draw(st.lists(st.sampled_from("is"), **each))),
        classes=data.draw(st.integers(1, 9)),
        kernel_size=data.draw(st.sampled_from([1, 3, 7])),
        mlp_ratio=data.draw(st.sampled_from([1.0, 1.5, 2.0, 2.7, 4.0])),
        distilled=data.draw(st.booleans()),
    )
    shapes = compute_expected_shapes(config)
    found = infer_config(shapes)
    assert found is not None
    assert compute_expected_shapes(found) == shapes
    attending = [index for index, kind in enumerate(config.block_types) if kind == "s"]
    assert [found.qk_dims[i] for i in attending] == [config.qk_dims[i] for i in attending]


@pytest.mark.parametrize(
    "lost", ["patch_embed.6.c.weight", "patch_embed.0.c.weight", "stages.1.downsample.3.m.c.weight"]
)
def test_without_a_tensor_that_tells_there_is_no_configuration(lost):
    shapes = compute_expected_shapes(TINY)
    del shapes[lost]
    assert infer_config(shapes) is None


def test_a_made_up_number_of_blocks_builds_nothing():
    shapes = compute_expected_shapes(TINY)
    many = {f"stages.0.blocks.{index}.x": (1,) for index in range(5000)}
    assert infer_config({**shapes, **many}) is None
    far = infer_config({**shapes, "stages.0.blocks.99999999999.x": (1,)})
    assert far is not None
    assert far.depths[0] == TINY.depths[0] + 1


@pytest.mark.parametrize(
    ("pairs", "ratio"),
    [([(128, 256), (308, 616)], 2.0), ([(24, 31), (32, 41)], 1.3), ([(7, 10)], 1.5), ([(10, 33)], 3.3), ([], 2.0)],
)
def test_the_ratio_is_the_shortest_that_makes_the_widths(pairs, ratio):
    assert find_simplest_ratio(pairs) == ratio


def test_expected_shapes_are_those_of_a_model_and_cost_no_memory():
    huge = SHViTConfig(dims=(8 * 10**5,), partial_dims=(9,), qk_dims=(1,), depths=(1,), block_types=("i",))
    assert compute_expected_shapes(huge)["stages.0.blocks.0.ffn.m.pw1.c.weight"] == (16 * 10**5, 8 * 10**5, 1, 1)

"""The architecture: sizes, parameters, heads and refusals."""

from __future__ import annotations

import pytest
import torch

from shvit_mobile.errors import InvalidConfig, UnknownChoice
from shvit_mobile.families.shvit import NATIVE_SIZES, VARIANTS, SHViT, SHViTConfig, create_shvit, round_to_multiple
from tests.builders import TINY, build_random_shvit


@pytest.mark.parametrize(
    ("variant", "least", "most"),
    [("shvit_s1", 6.25, 6.35), ("shvit_s2", 11.4, 11.5), ("shvit_s3", 14.15, 14.25), ("shvit_s4", 16.5, 16.6)],
)
def test_each_variant_has_the_papers_parameters(variant, least, most):
    with torch.device("meta"):
        millions = sum(parameter.numel() for parameter in create_shvit(variant).parameters()) / 1e6
    assert least <= millions <= most


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [(64, 64, 1, 1), (65, 64, 2, 1), (1, 1, 1, 1), (97, 193, 2, 4), (192, 160, 3, 3), (33, 130, 1, 3)],
)
def test_any_input_size_gives_a_64th_of_it_rounded_up(height, width, rows, columns):
    model = build_random_shvit()
    images = torch.randn(2, 3, height, width)
    with torch.no_grad():
        assert model.forward_features(images).shape == (2, TINY.dims[-1], rows, columns)
        assert model(images).shape == (2, TINY.classes)


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_takes_odd_sizes_and_any_classes(variant):
    model = build_random_shvit(variant, classes=37)
    with torch.no_grad():
        logits = model(torch.randn(1, 3, 75, 101))
    assert logits.shape == (1, 37)
    assert logits.isfinite().all()


def test_every_variant_has_a_native_size():
    assert set(NATIVE_SIZES) == set(VARIANTS)


def test_the_two_heads_are_averaged():
    model = build_random_shvit(distilled=True)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        pooled = model.forward_features(images).mean((2, 3))
        heads = model.head(pooled), model.head_dist(pooled)
        assert not torch.allclose(*heads)
        torch.testing.assert_close(model(images), (heads[0] + heads[1]) / 2)


def test_attention_mixes_positions_and_leaves_the_passing_channels_alone():
    attention = build_random_shvit().stages[1].blocks[0].mixer.m
    attention.proj = torch.nn.Identity()
    images = torch.randn(1, attention.dim, 3, 3)
    moved = images.clone()
    moved[:, : attention.partial_dim, 2, 2] += torch.randn(attention.partial_dim)
    with torch.no_grad():
        before, after = attention(images), attention(moved)
    assert torch.equal(before[:, attention.partial_dim :], images[:, attention.partial_dim :])
    assert not torch.allclose(before[:, : attention.partial_dim, 0, 0], after[:, : attention.partial_dim, 0, 0])


def test_a_fresh_model_says_nothing_about_numerics():
    """Why tests randomise: the residual branches of a fresh SHViT give 0."""
    block = SHViT(TINY).eval().stages[0].blocks[0]
    images = torch.randn(1, TINY.dims[0], 4, 4)
    with torch.no_grad():
        assert torch.equal(block(images), images)
        assert not torch.allclose(build_random_shvit().stages[0].blocks[0](images), images)


def test_an_unknown_variant_is_told_the_nearest():
    with pytest.raises(UnknownChoice, match="Did you mean shvit_s1"):
        create_shvit("shvit-s1")


@pytest.mark.parametrize(
    "numbers",
    [
        {"depths": (1, 2)},
        {"dims": (12, 24, 32)},
        {"partial_dims": (8, 24, 12)},
        {"block_types": ("i", "x", "s")},
        {"kernel_size": 4},
        {"classes": 0},
    ],
)
def test_numbers_that_make_no_model_are_refused(numbers):
    usual = {"dims": (16, 24, 32), "partial_dims": (8, 9, 12), "depths": (1, 2, 1)}
    with pytest.raises(InvalidConfig):
        SHViTConfig(**{**usual, **numbers})


@pytest.mark.parametrize(("value", "expected"), [(1, 8), (11.9, 8), (12, 16), (128, 128), (77 * 4, 312)])
def test_squeezed_channels_round_to_eights(value, expected):
    assert round_to_multiple(value, of=8) == expected

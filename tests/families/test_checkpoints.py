"""Good checkpoints: every layout of every variant gives the source model's logits, and ours come back whole."""

from __future__ import annotations

import argparse
import hashlib
import os
from collections import OrderedDict
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import safetensors.torch
import torch

from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import BadCheckpoint, InvalidConfig, OutputExists, UnknownChoice
from shvit_mobile.families.checkpoints import load_checkpoint, save_checkpoint
from shvit_mobile.families.shvit import VARIANTS, SHViTConfig
from tests.builders import TINY, build_random_shvit, build_trained_model
from tests.families.layouts import official_state, with_matrices

IMAGES = torch.randn(2, 3, 65, 97, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request):
    return request.param


@pytest.fixture(scope="module")
def source(variant):
    return build_random_shvit(variant, classes=20)


@pytest.fixture(scope="module")
def expected(source):
    with torch.no_grad():
        return source(IMAGES)


def namespaced(state):
    return {"model": state, "epoch": 299, "args": argparse.Namespace(model="shvit", lr=1e-3, data=argparse.Namespace())}


# What the authors' and others' programs put around a state dict in their layout.
OFFICIAL = {
    "under model, with a Namespace": namespaced,
    "under state_dict": lambda state: {"state_dict": state, "optimizer": {"state": {}, "param_groups": []}},
    "bare": OrderedDict,
    "matrices for 1x1 convolutions": lambda state: {"model": with_matrices(state)},
}


@pytest.mark.parametrize("wrapped", OFFICIAL.values(), ids=OFFICIAL)
def test_an_official_checkpoint_gives_the_logits(wrapped, source, expected, variant, tmp_path):
    torch.save(wrapped(official_state(source)), tmp_path / "shvit.pth")
    loaded = load_checkpoint(tmp_path / "shvit.pth")
    assert (loaded.variant, loaded.dialect, loaded.source) == (variant, "official", "shvit.pth")
    assert_same(loaded.model, expected)


def test_an_official_distilled_checkpoint_gives_the_averaged_logits(variant, tmp_path):
    model = build_random_shvit(variant, classes=5, distilled=True)
    torch.save({"model": official_state(model)}, tmp_path / "distilled.pth")
    loaded = load_checkpoint(tmp_path / "distilled.pth")
    assert loaded.variant == variant
    assert loaded.model.config.distilled
    with torch.no_grad():
        assert_same(loaded.model, model(IMAGES))


def test_timm_safetensors_and_pth_give_the_logits(source, expected, variant, tmp_path):
    safetensors.torch.save_file(source.state_dict(), tmp_path / "model.safetensors", {"format": "pt"})
    torch.save(source.state_dict(), tmp_path / "model.pth")
    for name in ("model.safetensors", "model.pth"):
        loaded = load_checkpoint(tmp_path / name)
        assert (loaded.variant, loaded.dialect) == (variant, "timm")
        assert_same(loaded.model, expected)


def test_our_own_checkpoint_gives_the_logits(source, expected, variant, tmp_path):
    save_checkpoint(build_trained_model(source, variant=variant), tmp_path / "own.safetensors")
    loaded = load_checkpoint(tmp_path / "own.safetensors")
    assert (loaded.variant, loaded.dialect) == (variant, "shvit-mobile")
    assert_same(loaded.model, expected)


@torch.no_grad()
def assert_same(model, expected):
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert {value.device.type for value in model.state_dict().values()} == {"cpu"}
    torch.testing.assert_close(model(IMAGES), expected, rtol=0, atol=1e-5)


@cache
def tiny():
    return build_random_shvit()


def tiny_file(tmp_path, change=lambda state: state, name="tiny.pth"):
    """A checkpoint of `tiny()` in timm's layout, changed."""
    torch.save(change(dict(tiny().state_dict())), tmp_path / name)
    return tmp_path / name


@torch.no_grad()
def logits(model):
    return model(IMAGES)


LEGACY = {"_use_new_zipfile_serialization": False}
SPELLINGS = {
    "DataParallel": lambda state: {"state_dict": prefixed(state, "module.")},
    "compiled and parallel": lambda state: prefixed(state, "module._orig_mod."),
    "Lightning": lambda state: {"state_dict": prefixed(state, "model."), "pytorch-lightning_version": "2.4.0"},
    "an average alone": lambda state: {"model_ema": state},
    "without counters": lambda state: {k: v for k, v in state.items() if "num_batches" not in k},
    "float64": lambda state: {k: v.double() for k, v in state.items()},
    "channels last": lambda state: {
        k: v.contiguous(memory_format=torch.channels_last) if v.ndim == 4 else v for k, v in state.items()
    },
    "parameters": lambda state: {k: torch.nn.Parameter(v) if v.is_floating_point() else v for k, v in state.items()},
    "views of one storage": lambda state: views(state),
}


def prefixed(state, prefix):
    return {prefix + name: value for name, value in state.items()}


def views(state):
    whole = torch.cat([value.flatten().float() for value in state.values()])
    sizes = [value.numel() for value in state.values()]
    parts = zip(state.items(), whole.split(sizes), strict=True)
    return {name: part.view(value.shape) for (name, value), part in parts}


@pytest.mark.parametrize("change", SPELLINGS.values(), ids=SPELLINGS)
def test_other_spellings_of_the_same_checkpoint_give_the_logits(change, tmp_path):
    loaded = load_checkpoint(tiny_file(tmp_path, change))
    torch.testing.assert_close(logits(loaded.model), logits(tiny()), rtol=0, atol=1e-5)


def test_the_old_format_of_torch_save_is_read(tmp_path):
    torch.save(namespaced(official_state(tiny())), tmp_path / "old.pth", **LEGACY)
    loaded = load_checkpoint(tmp_path / "old.pth")
    assert loaded.dialect == "official"
    assert torch.equal(logits(loaded.model), logits(tiny()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_become_float32(dtype, tmp_path):
    loaded = load_checkpoint(tiny_file(tmp_path, lambda state: {k: v.to(dtype) for k, v in state.items()}))
    mine, stored = loaded.model.head.l.weight, tiny().head.l.weight.to(dtype)
    assert mine.dtype == torch.float32
    assert torch.equal(mine, stored.float())


def test_the_weights_go_before_their_average(tmp_path):
    first, second = build_random_shvit(seed=1), build_random_shvit(seed=2)
    torch.save({"model": first.state_dict(), "model_ema": second.state_dict()}, tmp_path / "authors.pth")
    torch.save({"state_dict": first.state_dict(), "state_dict_ema": second.state_dict()}, tmp_path / "timm.pth")
    torch.save({"model": first.state_dict(), "model_ema": None}, tmp_path / "none.pth")
    assert torch.equal(logits(load_checkpoint(tmp_path / "authors.pth").model), logits(first))
    assert torch.equal(logits(load_checkpoint(tmp_path / "timm.pth").model), logits(first))
    assert torch.equal(logits(load_checkpoint(tmp_path / "none.pth").model), logits(first))


def test_the_content_counts_and_not_the_suffix(tmp_path):
    safetensors.torch.save_file(tiny().state_dict(), tmp_path / "a.pth")
    assert load_checkpoint(tmp_path / "a.pth").dialect == "timm"
    assert load_checkpoint(tiny_file(tmp_path, name="b.safetensors")).dialect == "timm"


CUSTOM = {
    "four stages": SHViTConfig(
        dims=(16, 24, 32, 40),
        partial_dims=(4, 6, 8, 10),
        qk_dims=(4, 4, 8, 8),
        depths=(1, 1, 2, 1),
        block_types=("i", "s", "i", "s"),
        classes=3,
    ),
    "one stage": SHViTConfig(dims=(16,), partial_dims=(4,), qk_dims=(4,), depths=(2,), block_types=("s",), classes=2),
    "kernel 5, ratio 1.3": replace(TINY, kernel_size=5, mlp_ratio=1.3),
    "kernel 1": replace(TINY, kernel_size=1),
}


@pytest.mark.parametrize("config", CUSTOM.values(), ids=CUSTOM)
def test_a_custom_shvit_is_read_from_every_layout(config, tmp_path):
    model = build_random_shvit(config)
    torch.save({"model": with_matrices(official_state(model))}, tmp_path / "official.pth")
    safetensors.torch.save_file(model.state_dict(), tmp_path / "timm.safetensors")
    save_checkpoint(build_trained_model(model), tmp_path / "own.safetensors")
    for name in ("official.pth", "timm.safetensors", "own.safetensors"):
        loaded = load_checkpoint(tmp_path / name)
        assert loaded.variant == "custom"
        torch.testing.assert_close(logits(loaded.model), logits(model), rtol=0, atol=1e-5)
    assert load_checkpoint(tmp_path / "own.safetensors").model.config == config


def test_labels_and_preprocessing_default_to_what_shvit_was_trained_with(tmp_path):
    torch.save(build_random_shvit("shvit_s4", classes=2).state_dict(), tmp_path / "s4.pth")
    loaded = load_checkpoint(tmp_path / "s4.pth")
    assert loaded.labels == ("class 0", "class 1")
    assert loaded.preprocessing == Preprocessing(size=(256, 256), crop_ratio=0.875, interpolation="bicubic")
    assert load_checkpoint(tiny_file(tmp_path)).preprocessing.size == (224, 224)


def test_labels_and_preprocessing_can_be_given(tmp_path):
    labels, preprocessing = list("abcdefg"), Preprocessing(size=(192, 160), crop_ratio=1.0)
    loaded = load_checkpoint(tiny_file(tmp_path), labels=labels, preprocessing=preprocessing)
    assert loaded.labels == tuple(labels)
    assert loaded.preprocessing == preprocessing


@pytest.mark.parametrize(
    "labels", [list("abc"), [*"abcdef", ""], [*"abcdef", "two\nlines"], [*"abcdef", "\ud800"], ["a"] * 7]
)
def test_labels_that_do_not_fit_are_refused(labels, tmp_path):
    with pytest.raises(InvalidConfig, match=r"labels, but the model has 7|as the label of class 6|all of them"):
        load_checkpoint(tiny_file(tmp_path), labels=labels)


def test_the_sha256_is_the_files(tmp_path):
    path = tiny_file(tmp_path)
    assert load_checkpoint(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_loading_draws_no_random_numbers(tmp_path):
    path = tiny_file(tmp_path)
    before = torch.get_rng_state()
    load_checkpoint(path)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_variant_that_it_is_may_be_asked_for(tmp_path):
    torch.save(build_random_shvit("shvit_s1", classes=3).state_dict(), tmp_path / "s1.pth")
    assert load_checkpoint(tmp_path / "s1.pth", variant="shvit_s1").variant == "shvit_s1"


def test_another_variant_than_it_is_gets_the_command_to_try(tmp_path):
    model = build_random_shvit("shvit_s1", classes=3)
    torch.save({"model": official_state(model)}, tmp_path / "s1.pth")
    with pytest.raises(BadCheckpoint) as caught:
        load_checkpoint(tmp_path / "s1.pth", variant="shvit_s2")
    assert f"{tmp_path / 's1.pth'} contains 80 of the 397 tensors of shvit_s2" in caught.value.what
    assert "blocks2.1.conv3.c.weight is (224, 512, 1, 1), expected (308, 512, 1, 1)" in caught.value.what
    assert caught.value.why == "It looks like shvit_s1."
    assert caught.value.parameter == "variant"
    assert "'shvit_s1'" in caught.value.hint


def test_a_custom_shvit_asked_to_be_a_variant_is_described(tmp_path):
    with pytest.raises(BadCheckpoint, match=r"dims \(16, 24, 32\) and depths \(1, 2, 1\)"):
        load_checkpoint(tiny_file(tmp_path), variant="shvit_s1")


def test_an_unknown_variant_is_refused_before_the_file_is_looked_for():
    with pytest.raises(UnknownChoice, match="Did you mean shvit_s4"):
        load_checkpoint("nowhere.pth", variant="shvit_s44")


def test_a_path_goes_before_an_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("timm").mkdir()
    os.rename(tiny_file(tmp_path), "timm/shvit_s1.in1k")
    os.symlink("timm/shvit_s1.in1k", "shvit_s1")
    assert load_checkpoint("timm/shvit_s1.in1k").source == "shvit_s1.in1k"
    assert load_checkpoint("shvit_s1").source == "shvit_s1"


def test_saving_keeps_labels_preprocessing_and_every_weight(tmp_path):
    labels = ("a", "b", "ü 'quoted'", "d", "e", "f", "g")
    preprocessing = Preprocessing((192, 160), 1.0, "lanczos", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bgr")
    original = replace(
        build_trained_model(build_random_shvit(distilled=True)), labels=labels, preprocessing=preprocessing
    )
    save_checkpoint(original, tmp_path / "new" / "own.safetensors")
    loaded = load_checkpoint(tmp_path / "new" / "own.safetensors")
    assert (loaded.labels, loaded.preprocessing, loaded.model.config) == (labels, preprocessing, original.model.config)
    for name, value in original.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], value), name


def test_saving_in_half_precision_halves_the_kernels_and_rounds_nothing_else(tmp_path):
    model = build_random_shvit("shvit_s1", classes=10)
    save_checkpoint(build_trained_model(model), tmp_path / "half.safetensors", dtype=torch.float16)
    assert (tmp_path / "half.safetensors").stat().st_size < 2.1 * sum(p.numel() for p in model.parameters())
    loaded = load_checkpoint(tmp_path / "half.safetensors")
    for name, value in model.state_dict().items():
        expected = value.half().float() if value.ndim > 1 else value
        assert torch.equal(loaded.model.state_dict()[name], expected), name


def test_the_same_model_is_saved_as_the_same_bytes(tmp_path):
    for name in "abcd":
        save_checkpoint(build_trained_model(tiny()), tmp_path / name)
    assert len({(tmp_path / name).read_bytes() for name in "abcd"}) == 1


def test_saving_overwrites_only_when_asked_and_never_a_folder(tmp_path):
    model = build_trained_model(tiny())
    save_checkpoint(model, tmp_path / "own.safetensors")
    with pytest.raises(OutputExists):
        save_checkpoint(model, tmp_path / "own.safetensors")
    save_checkpoint(model, tmp_path / "own.safetensors", dtype=torch.float16, overwrite=True)
    with pytest.raises(OutputExists, match="is a folder"):
        save_checkpoint(model, tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["own.safetensors"]


def test_weights_past_the_range_of_float16_are_not_saved_in_it(tmp_path):
    model = build_random_shvit()
    with torch.no_grad():
        model.head.l.weight[0, 0] = 1e6
        model.head.bn.running_var[0] = 1e6
    with pytest.raises(InvalidConfig, match=r"head\.l\.weight cannot be saved as float16"):
        save_checkpoint(build_trained_model(model), tmp_path / "half.safetensors", dtype=torch.float16)
    assert not list(tmp_path.iterdir())
    save_checkpoint(build_trained_model(model), tmp_path / "full.safetensors")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int8])
def test_other_dtypes_are_not_saved(dtype, tmp_path):
    with pytest.raises(InvalidConfig, match="`dtype` is"):
        save_checkpoint(build_trained_model(tiny()), tmp_path / "own.safetensors", dtype=dtype)


def test_labels_that_do_not_fit_are_not_saved(tmp_path):
    with pytest.raises(InvalidConfig, match="2 labels"):
        save_checkpoint(replace(build_trained_model(tiny()), labels=("a", "b")), tmp_path / "own.safetensors")

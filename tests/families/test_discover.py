"""The search for models: any key, prefix and wrapper around one complete SHViT, and a choice between several."""

import types
from collections import defaultdict
from functools import cache
from typing import NamedTuple

import pytest
import torch

from shvit_mobile.errors import BadCheckpoint
from shvit_mobile.families import discover
from shvit_mobile.families.checkpoints import load_checkpoint
from tests.builders import build_random_shvit
from tests.families.layouts import official_state

IMAGES = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(5))


@cache
def tiny(seed=0):
    return build_random_shvit(seed=seed)


def state(seed=0):
    return dict(tiny(seed).state_dict())


def official():
    return official_state(tiny())


def prefixed(prefix, tensors):
    return {prefix + name: value for name, value in tensors.items()}


def wrapped(word, after, tensors):
    """Names with `word` inserted after each occurrence of a word."""
    return {name.replace(f"{after}.", f"{after}.{word}."): value for name, value in tensors.items()}


def load(tmp_path, content, **options):
    torch.save(content, tmp_path / "model.pth")
    return load_checkpoint(tmp_path / "model.pth", **options)


@torch.no_grad()
def is_same(trained, seed=0):
    return torch.equal(trained.model(IMAGES), tiny(seed)(IMAGES))


class Saved(NamedTuple):
    """What a training program might save."""

    epoch: int
    net: dict


WHOLE = {
    "an unusual key": {"epoch": 3, "model_state_dict": state()},
    "keys in keys": {"checkpoint": {"nets": {"G": state()}}},
    "a list": [None, {"net": state()}],
    "any prefix": prefixed("timm_model.", state()),
    "nested prefixes": {"state_dict": prefixed("module._orig_mod.backbone.", official())},
    "a wrapper of each block": wrapped("_checkpoint_wrapped_module", "blocks.0", state()),
    "a wrapper of each stage": prefixed(
        "_fsdp_wrapped_module.", wrapped("_fsdp_wrapped_module", "blocks1", official())
    ),
    "parts under keys": {
        "body": {name: value for name, value in state().items() if not name.startswith("head")},
        "head": {name.removeprefix("head."): value for name, value in state().items() if name.startswith("head")},
    },
    "parts with prefixes of their own": {
        f"{'a' if name.startswith('patch_embed') else 'b'}.{name}": value for name, value in state().items()
    },
    "numpy arrays": {name: value.numpy() for name, value in state().items()},
    "a whole module": build_random_shvit(),
    "a dictionary with a default": defaultdict(dict, model=state()),
    "a named tuple": Saved(3, state()),
    "a namespace": types.SimpleNamespace(model=state()),
}


@pytest.mark.parametrize("content", WHOLE.values(), ids=WHOLE)
def test_a_whole_model_is_found_wherever_it_is(content, tmp_path):
    assert is_same(load(tmp_path, content))


BESIDE = {
    "a counter": ({"n_averaged": torch.tensor(5), **prefixed("module.", state())}, "n_averaged"),
    "a criterion": ({"state_dict": {**prefixed("model.", state()), "criterion.weight": torch.ones(7)}}, "criterion"),
    "a metric": ({**prefixed("model.", state()), "acc.tp": torch.zeros(7, dtype=torch.int64)}, "acc"),
    "a second head": (
        {**state(), "aux_head.weight": torch.ones(7, 32), "aux_head.bias": torch.ones(7)},
        "aux_head (2)",
    ),
    "a profile": (
        {**state(), "total_ops": torch.ones(1), "stages.0.blocks.0.conv.total_ops": torch.ones(1)},
        "total_ops (2)",
    ),
    "an optimizer": (
        {"model": state(), "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}, 1: {"exp_avg": torch.ones(3)}}}},
        "optimizer (2)",
    ),
}


@pytest.mark.parametrize(("content", "name"), BESIDE.values(), ids=BESIDE)
def test_tensors_beside_a_whole_model_are_ignored_and_reported(content, name, tmp_path):
    loaded = load(tmp_path, content)
    assert is_same(loaded)
    assert len(loaded.notes) == 1
    assert name in loaded.notes[0]


def test_a_plain_file_has_no_notes(tmp_path):
    for content in (state(), {"model": official(), "epoch": 3}):
        loaded = load(tmp_path, content)
        assert (loaded.notes, len(loaded.weights_found)) == ((), 1)


def test_the_default_of_several_models_is_the_trained_one_and_is_told(tmp_path):
    content = {"model_ema": state(2), "model": state(1), "epoch": 3}
    loaded = load(tmp_path, content)
    assert is_same(loaded, 1)
    assert (loaded.weights, loaded.weights_found, loaded.source) == ("model", ("model", "model_ema"), "model.pth#model")
    assert "model_ema" in loaded.notes[0]
    student = load(tmp_path, {**prefixed("teacher.", state(2)), **prefixed("student.", state(1))})
    assert (is_same(student, 1), student.weights) == (True, "student")


def test_another_model_can_be_selected_and_counts_as_another_checkpoint(tmp_path):
    content = {"model": state(1), "model_ema": {"module": state(2)}}
    default = load(tmp_path, content)
    for name in ("model_ema.module", "model_ema"):
        chosen = load(tmp_path, content, weights=name)
        assert is_same(chosen, 2)
        assert chosen.source == "model.pth#model_ema.module"
        assert chosen.sha256 != default.sha256


def test_an_unknown_name_lists_the_names(tmp_path):
    with pytest.raises(BadCheckpoint) as caught:
        load(tmp_path, {"model": state(1), "model_ema": state(2)}, weights="model_emma")
    assert caught.value.parameter == "weights"
    assert "model, model_ema" in caught.value.why
    assert "model_ema" in caught.value.hint


def test_identical_models_need_no_choice_but_have_their_names(tmp_path):
    content = {"model": state(), "best": {name: value.clone() for name, value in state().items()}, "last": state()}
    loaded = load(tmp_path, content)
    assert (loaded.weights_found, loaded.notes) == (("model",), ())
    assert is_same(load(tmp_path, content, weights="best"))


def test_the_classifier_of_another_model_is_not_taken(tmp_path):
    features = {name: value for name, value in state(2).items() if not name.startswith("head")}
    loaded = load(tmp_path, {**state(1), **prefixed("ema.", features)})
    assert (is_same(loaded, 1), loaded.weights_found) == (True, ("root",))


def test_counts_refer_to_what_was_compared(tmp_path):
    incomplete = {name: value for name, value in state().items() if name != "stages.1.blocks.0.conv.m.bn.bias"}
    with pytest.raises(BadCheckpoint) as caught:
        load(tmp_path, {"net": prefixed("module.", incomplete), "optimizer": [torch.ones(3)] * 9})
    assert "under net.module 219 of the 220 tensors" in caught.value.what
    assert "stages.1.blocks.0.conv.m.bn.bias is missing" in caught.value.what


INSIDE = {
    "a layer": {"stages.0.blocks.0.ls.gamma": torch.ones(16)},
    "an adapter": {"stages.0.blocks.0.conv.m.c.lora_A.weight": torch.ones(4, 16)},
    "a mask": {"stages.0.blocks.0.conv.m.c.weight_mask": torch.ones(16, 1, 3, 3)},
    "a copy": {"stages.0.copy.blocks.0.conv.m.bn.bias": torch.ones(16)},
}


@pytest.mark.parametrize("more", INSIDE.values(), ids=INSIDE)
def test_tensors_inside_the_model_are_not_ignored(more, tmp_path):
    with pytest.raises(BadCheckpoint, match="is unexpected"):
        load(tmp_path, {**state(), **more})


def test_a_thousand_prefixes_are_no_problem(tmp_path):
    loaded = load(tmp_path, prefixed("module." * 2000, state()))
    assert is_same(loaded)
    assert len(loaded.weights) <= 80


def test_a_structure_that_unfolds_to_a_billion_is_searched_in_moments(tmp_path):
    content = {"model": state()}
    for _ in range(30):
        content = {"a": content, "b": content}
    assert is_same(load(tmp_path, content))


def test_a_cycle_ends(tmp_path):
    content = {"model": state()}
    content["itself"] = content
    assert is_same(load(tmp_path, content))


def test_far_too_many_tensors_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(discover, "_MAX_TENSORS", 300)
    with pytest.raises(BadCheckpoint, match="has 301 tensors"):
        load(tmp_path, {"model": state(), "more": [torch.ones(1)] * 100})


@pytest.mark.parametrize("channels", [1, 4])
def test_models_of_other_images_than_color_are_refused(channels, tmp_path):
    changed = {**state(), "patch_embed.0.c.weight": torch.ones(2, channels, 3, 3)}
    with pytest.raises(BadCheckpoint, match=f"takes images with {channels} channel"):
        load(tmp_path, changed)

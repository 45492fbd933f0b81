"""Training arguments in checkpoints are read, and contradictions are reported."""

import argparse
import types

import pytest
import safetensors.torch
import torch

from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.families.checkpoints import load_checkpoint, save_checkpoint
from shvit_mobile.families.trained_model import override_preprocessing
from shvit_mobile.families.training_args import read_training_arguments
from shvit_mobile.pipeline.config import ModelOptions
from tests.builders import build_random_shvit, build_trained_model

NAMES = list("abcdefg")


def load(tmp_path, content, **options):
    torch.save({"model": build_random_shvit().state_dict(), **content}, tmp_path / "model.pth")
    return load_checkpoint(tmp_path / "model.pth", **options)


STATED = {
    "the authors'": ({"args": argparse.Namespace(input_size=192, nb_classes=7)}, {"size": (192, 192)}),
    "timm's": (
        {
            "args": argparse.Namespace(
                img_size=None,
                input_size=(3, 160, 192),
                crop_pct=0.95,
                mean=(0.5,) * 3,
                std=[0.25] * 3,
                interpolation="",
            )
        },
        {"size": (160, 192), "crop_ratio": 0.95, "mean": (0.5,) * 3, "std": (0.25,) * 3},
    ),
    "torchvision's": (
        {"args": argparse.Namespace(val_resize_size=256, val_crop_size=192, interpolation="bilinear")},
        {"size": (192, 192), "crop_ratio": 0.75, "interpolation": "bilinear"},
    ),
    "Lightning's": ({"hyper_parameters": {"image_size": [96, 128]}}, {"size": (96, 128)}),
    "nested, in capitals": ({"config": {"DATA": types.SimpleNamespace(IMG_SIZE=128)}}, {"size": (128, 128)}),
    "beside the weights": ({"img_size": 128, "crop_mode": "squash"}, {"size": (128, 128), "resize_mode": "squash"}),
    "for pixels to 255": (
        {"config": {"mean": [127.5] * 3, "std": [51.0] * 3}},
        {"mean": (0.5,) * 3, "std": (0.2,) * 3},
    ),
}


@pytest.mark.parametrize(("content", "expected"), STATED.values(), ids=STATED)
def test_the_preprocessing_of_the_training_is_used_and_told(content, expected, tmp_path):
    loaded = load(tmp_path, content)
    assert loaded.preprocessing == Preprocessing(**expected)
    assert loaded.stated == set(expected)
    assert len(loaded.notes) == 1
    assert all(name in loaded.notes[0] for name in expected)
    assert loaded.training_arguments


def test_arguments_in_the_metadata_of_safetensors_are_read(tmp_path):
    metadata = {"format": "pt", "input_size": "64", "args": '{"mean": [0.5, 0.5, 0.5]}', "note": "[" * 100_000}
    safetensors.torch.save_file(build_random_shvit().state_dict(), tmp_path / "model.safetensors", metadata)
    loaded = load_checkpoint(tmp_path / "model.safetensors")
    assert loaded.preprocessing == Preprocessing(size=(64, 64), mean=(0.5,) * 3)
    assert loaded.stated == {"size", "mean"}


LABELS = {
    "a list": {"class_names": NAMES},
    "from name to index": {"class_to_idx": {name: index for index, name in enumerate(NAMES)}},
    "from index to name": {"args": {"id2label": {str(index): name for index, name in enumerate(NAMES)}}},
    "the classes": {"meta": {"classes": tuple(NAMES)}},
}


@pytest.mark.parametrize("content", LABELS.values(), ids=LABELS)
def test_the_names_of_the_classes_are_used(content, tmp_path):
    assert load(tmp_path, content).labels == tuple(NAMES)
    assert load(tmp_path, content, labels=list("tuvwxyz")).labels == tuple("tuvwxyz")


USELESS = {
    "a text": {"img_size": "large"},
    "no size": {"img_size": -3},
    "a huge size": {"img_size": 10**9},
    "one mean": {"mean": [0.5]},
    "a mean of nothing": {"mean": [float("nan")] * 3},
    "another filter": {"interpolation": "random"},
    "another crop": {"crop_mode": "border"},
    "a share": {"crop_pct": 3},
    "a std of 0": {"std": [0, 0, 0]},
    "few names": {"class_names": ["a", "b"]},
}


@pytest.mark.parametrize("arguments", USELESS.values(), ids=USELESS)
def test_values_of_no_use_are_told_and_not_used(arguments, tmp_path):
    loaded = load(tmp_path, {"args": arguments})
    assert loaded.preprocessing == Preprocessing()
    assert loaded.labels[0] == "class 0"
    assert len(loaded.notes) == 1


def test_contradictions_with_the_tensors_are_told(tmp_path):
    loaded = load(tmp_path, {"args": {"nb_classes": 1000}})
    assert "1000" in loaded.notes[0]
    assert "7 classes" in loaded.notes[0]
    arguments = read_training_arguments([("args", {"model": "SHViT_S2", "img_size": 224, "input_size": 192})])
    assert arguments.values == {"variant": "shvit_s2", "size": (192, 192)}
    assert "img_size is 224" in arguments.notes[0]


def test_contradictions_with_the_options_are_told(tmp_path):
    loaded = load(tmp_path, {"args": {"img_size": 192}})
    changed = override_preprocessing(loaded, {"size": (160, 160), "crop_ratio": 1.0})
    assert changed.preprocessing == Preprocessing(size=(160, 160), crop_ratio=1.0)
    assert len(changed.notes) == len(loaded.notes) + 1
    assert "(160, 160)" in changed.notes[-1]
    assert "(192, 192)" in changed.notes[-1]
    again = ModelOptions(checkpoint=tmp_path / "model.pth", size=(160, 160)).load_model()
    assert again.notes == changed.notes
    same = ModelOptions(checkpoint=tmp_path / "model.pth", size=(192, 192)).load_model()
    assert same.notes == loaded.notes


def test_contradictions_of_options_with_our_own_metadata_are_told(tmp_path):
    save_checkpoint(build_trained_model(build_random_shvit(), size=(72, 40)), tmp_path / "model.safetensors")
    given = Preprocessing(size=(72, 40), channel_order="bgr")
    (note,) = load_checkpoint(tmp_path / "model.safetensors", preprocessing=given).notes
    assert "channel order is bgr" in note


@pytest.mark.parametrize("path", ["optimizer", "scheduler.args", "a.b.c", ".".join(["config"] * 9)])
def test_other_mappings_are_not_taken_for_arguments(path):
    assert not read_training_arguments([(path, {"img_size": 192})]).values

"""Bad checkpoints: each is refused with a sentence that says what does not fit, and none runs anything."""

from __future__ import annotations

import argparse
import builtins
import gzip
import json
import os
import pickle
import zipfile
from functools import cache

import pytest
import safetensors.torch
import torch

from shvit_mobile.errors import BadCheckpoint
from shvit_mobile.families import containers
from shvit_mobile.families.checkpoints import load_checkpoint, save_checkpoint
from tests.builders import TINY, build_random_shvit, build_trained_model
from tests.families.layouts import official_state


def refused(path, *parts, **options):
    """The error for `path`, which says all of `parts`, names the file, and shows no Python."""
    with pytest.raises(BadCheckpoint) as caught:
        load_checkpoint(path, **options)
    error = caught.value
    assert str(path) in error.what
    assert error.what.endswith(".")
    for part in parts:
        assert part in str(error), str(error)
    assert "Traceback" not in str(error)
    return error


def written(tmp_path, data, name="bad.pth"):
    (tmp_path / name).write_bytes(data)
    return tmp_path / name


def saved(tmp_path, state, **options):
    torch.save(state, tmp_path / "bad.pth", **options)
    return tmp_path / "bad.pth"


@cache
def tiny():
    return build_random_shvit()


def tiny_state():
    return {name: value.clone() for name, value in tiny().state_dict().items()}


def pth_bytes(tmp_path):
    return saved(tmp_path, tiny_state()).read_bytes()


def safetensors_bytes():
    return safetensors.torch.save(tiny_state())


HTML = b"\n<!DOCTYPE html>\n<html><head><title>404</title></head></html>\n"
FILES = {
    "empty": (b"", "is empty"),
    "text": (b"these are no weights, but a sentence\n", "is not a checkpoint: it is text"),
    "utf-8 text": ("für ".encode() * 200, "it is text"),
    "web page": (HTML, "is a web page"),
    "xml": (b'<?xml version="1.0"?><Error/>', "is a web page"),
    "lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
    "gzip": (gzip.compress(b"weights"), "is compressed"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5"),
    "noise": (bytes(range(128, 256)) * 9, "starts with the bytes 80 81 82 83"),
    "zeros": (bytes(4096), "starts with the bytes 00 00"),
    "one byte": (b"\x80", "cannot be read as a checkpoint"),
    "json": (b'{"model": [1, 2, 3]}', "it is text"),
    "json with a brace": (b'{"abc": {"def": 1}}', "it is text"),
    "pickle's begin": (b"\x80\x02", "cannot be read as a checkpoint"),
    "zip's begin": (b"PK\x03\x04" + bytes(60), "cut short or damaged"),
}


@pytest.mark.parametrize(("data", "part"), FILES.values(), ids=FILES)
def test_files_that_are_no_checkpoints_are_named_for_what_they_are(data, part, tmp_path):
    for name in ("bad.pth", "bad.safetensors"):
        refused(written(tmp_path, data, name), part)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_a_truncated_pth_is_refused(share, tmp_path):
    data = pth_bytes(tmp_path)
    refused(written(tmp_path, data[: int(len(data) * share)]), "cut short or damaged")


@pytest.mark.parametrize("share", [0.002, 0.3, 0.9, 0.999])
def test_a_truncated_old_pth_is_refused(share, tmp_path):
    data = saved(tmp_path, tiny_state(), _use_new_zipfile_serialization=False).read_bytes()
    refused(written(tmp_path, data[: int(len(data) * share)]), "cannot be read as a checkpoint")


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9, 0.999])
def test_truncated_safetensors_are_refused(share, tmp_path):
    data = safetensors_bytes()
    refused(written(tmp_path, data[: int(len(data) * share)]), "damaged safetensors file")


def test_a_broken_header_of_safetensors_is_refused(tmp_path):
    data = safetensors_bytes()
    broken = {
        "length": b"\xff" * 8 + data[8:],
        "json": data[:8] + b"{{{{" + data[12:],
        "offsets": data.replace(b'"data_offsets":[0,', b'"data_offsets":[9,', 1),
        "dtype": data.replace(b'"F32"', b'"X32"', 1),
    }
    for bad in broken.values():
        assert bad != data
        refused(written(tmp_path, bad), "damaged safetensors file")


def test_a_zip_that_is_not_torchs_says_what_it_holds(tmp_path):
    with zipfile.ZipFile(tmp_path / "bad.pth", "w") as archive:
        archive.writestr("weights/shvit.pth", "x")
    refused(tmp_path / "bad.pth", "is a zip archive, but not one that torch.save wrote", "weights/shvit.pth")


def test_a_zip_that_unpacks_to_far_more_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bad.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bad/data.pkl", bytes(10**7))
    refused(tmp_path / "bad.pth", "unpacks to far more than its size")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(tmp_path / "bad.pth"))
    refused(tmp_path / "bad.pth", "TorchScript", "state_dict()")


def test_an_exported_program_is_refused(tmp_path):
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),))
    torch.export.save(program, tmp_path / "bad.pt2")
    refused(tmp_path / "bad.pt2", "torch.export", "state_dict()")


def test_a_folder_without_one_checkpoint_names_what_it_contains(tmp_path):
    refused(tmp_path, "contains no checkpoint")
    written(tmp_path, b"x", "last.pth")
    written(tmp_path, b"x", "model_best.pth")
    assert refused(tmp_path, "last.pth, model_best.pth").hint == f"Did you mean {tmp_path / 'last.pth'}?"


def test_a_missing_file_names_the_nearest(tmp_path):
    refused(tmp_path / "shvit_s1.pth", "There is no file")
    written(tmp_path, b"x", "shvit-s1.pth")
    assert refused(tmp_path / "shvit_s1.pth").hint == f"Did you mean {tmp_path / 'shvit-s1.pth'}?"
    refused(tmp_path / "no" / "shvit_s1.pth", f"The folder {tmp_path / 'no'} does not exist")


def test_what_is_no_regular_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    refused(tmp_path / "pipe.pth", "is a named pipe")
    os.symlink(tmp_path / "gone", tmp_path / "link.pth")
    refused(tmp_path / "link.pth", "broken symbolic link")


def test_a_file_of_gigabytes_is_not_read(tmp_path):
    with (tmp_path / "bad.pth").open("wb") as file:
        file.truncate(containers.MAX_CHECKPOINT_BYTES + 1)
    refused(tmp_path / "bad.pth", "is larger than")


@pytest.mark.parametrize("source", ["shvit_s9", "", "a/b/c", "timm/", "no way"])
def test_what_is_neither_a_file_nor_an_id_is_told_the_forms(source):
    with pytest.raises(BadCheckpoint, match="is neither a file nor the id of a model") as caught:
        load_checkpoint(source)
    assert "timm/shvit_s1.in1k" in caught.value.why
    assert "shvit_s4" in caught.value.why


class Bomb:
    """Runs `function(argument)` where a pickle of it is loaded carelessly."""

    def __init__(self, function, argument):
        self.function, self.argument = function, argument

    def __reduce__(self):
        return self.function, (self.argument,)


@pytest.fixture
def sentinel(tmp_path):
    return tmp_path / "executed"


BOMBS = {
    "os.system": lambda sentinel: Bomb(os.system, f"touch {sentinel}"),
    "eval": lambda sentinel: Bomb(builtins.eval, f"open({str(sentinel)!r}, 'w').close()"),
    "exec": lambda sentinel: Bomb(builtins.exec, f"open({str(sentinel)!r}, 'w').close()"),
    "os.mkdir": lambda sentinel: Bomb(os.mkdir, str(sentinel)),
}
WRITERS = {
    "torch": lambda content, path: torch.save(content, path),
    "old torch": lambda content, path: torch.save(content, path, _use_new_zipfile_serialization=False),
    "pickle": lambda content, path: path.write_bytes(pickle.dumps(content)),
    "pickle of old": lambda content, path: path.write_bytes(pickle.dumps(content, protocol=0)),
}
HIDDEN = {
    "alone": lambda bomb: bomb,
    "beside the weights": lambda bomb: {"model": tiny_state(), "epoch": bomb},
    "among the weights": lambda bomb: {**tiny_state(), "head.l.bias": bomb},
    "in the Namespace": lambda bomb: {"model": tiny_state(), "args": argparse.Namespace(model=bomb)},
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_the_bombs_of_these_tests_are_live(bomb, sentinel):
    pickle.loads(pickle.dumps(bomb(sentinel)))
    assert sentinel.exists()


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_pickle_with_code_is_refused_and_nothing_is_executed(bomb, write, hidden, sentinel, tmp_path):
    write(hidden(bomb(sentinel)), tmp_path / "bad.pth")
    refused(tmp_path / "bad.pth")
    assert not sentinel.exists()


def test_a_pickle_with_code_is_told_what_it_asks_for(sentinel, tmp_path):
    refused(
        saved(tmp_path, Bomb(os.system, f"touch {sentinel}")),
        "needs the code of posix.system",
        "nothing in the file was executed",
    )


def changed(**changes):
    return {**tiny_state(), **changes}


def without(*names):
    return {name: value for name, value in tiny_state().items() if name not in names}


RESNET = {"conv1.weight": torch.ones(64, 3, 7, 7), "bn1.weight": torch.ones(64), "fc.bias": torch.ones(9)}
STATES = {
    "a resnet": (RESNET, ["is not of a SHViT", "conv1.weight (64, 3, 7, 7)"]),
    "a resnet under model": ({"model": RESNET}, ["is not of a SHViT", "bn1.weight (64,)"]),
    "names of a SHViT alone": ({"stages.0.x": torch.ones(1)}, ["is not of a SHViT", "stages.0.x (1,)"]),
    "nothing": ({}, ["contains no tensors", "it contains nothing"]),
    "no tensors": ({"epoch": 3, "best": 0.5}, ["contains no tensors; it contains epoch, best"]),
    "a list": ([torch.ones(3)], ["none of its 1 tensors fits"]),
    "a tensor": (torch.ones(3), ["none of its 1 tensors fits"]),
    "a Namespace": (argparse.Namespace(model=1), ["contains no tensors; it contains model"]),
    "an empty model": ({"model": {}, "epoch": 1}, ["contains no tensors; it contains model, epoch"]),
    "a missing tensor": (
        without("stages.1.blocks.0.mixer.m.qkv.bn.bias"),
        ["not a complete SHViT", "stages.1.blocks.0.mixer.m.qkv.bn.bias is missing"],
    ),
    "no head": (without("head.l.weight", "head.l.bias"), ["head.l.weight is missing", "no linear layer"]),
    "an extra tensor": (
        changed(**{"stages.0.blocks.0.conv.gamma": torch.ones(3)}),
        ["stages.0.blocks.0.conv.gamma (3,) is unexpected"],
    ),
    "a wrong shape": (
        changed(**{"stages.2.blocks.0.conv.m.bn.bias": torch.ones(33)}),
        ["stages.2.blocks.0.conv.m.bn.bias is (33,), expected (32,)"],
    ),
    "a head of another width": (
        changed(**{"head.l.weight": torch.ones(7, 31)}),
        ["head.l.weight is (7, 31), expected (7, 32)"],
    ),
    "a missing block": (
        {name: value for name, value in tiny_state().items() if not name.startswith("stages.1.blocks.0.")},
        ["not a complete SHViT"],
    ),
    "folded norms": (
        {"patch_embed.0.weight": torch.ones(2, 3, 3, 3), **without("patch_embed.0.c.weight")},
        ["folded into its convolutions"],
    ),
    "both layouts": (
        changed(**{"blocks1.0.conv.m.bn.bias": torch.ones(16)}),
        [
            "mixes two layouts",
            "blocks1.0.conv.m.bn.bias is a name of the authors",
            "stages.0.blocks.0.conv.m.c.weight of timm",
        ],
    ),
    "an int8 weight": (
        changed(**{"head.l.weight": torch.ones(7, 32, dtype=torch.int8)}),
        ["head.l.weight is int8, not float"],
    ),
    "a complex weight": (changed(**{"head.l.weight": torch.ones(7, 32) * 1j}), ["head.l.weight is complex64"]),
    "a boolean weight": (changed(**{"head.l.bias": torch.ones(7) > 0}), ["head.l.bias is bool"]),
    "a sparse weight": (
        changed(**{"head.l.weight": torch.ones(7, 32).to_sparse()}),
        ["head.l.weight has no dense values"],
    ),
    "a meta weight": (
        changed(**{"head.l.weight": torch.ones(7, 32, device="meta")}),
        ["head.l.weight has no dense values"],
    ),
    "an empty weight": (changed(**{"head.l.weight": torch.ones(0, 32)}), ["head.l.weight has the shape (0, 32)"]),
    "NaN": (
        changed(**{"head.l.bias": torch.full((7,), float("nan"))}),
        ["head.l.bias contains NaN or infinity (7 of 7"],
    ),
    "infinity": (
        changed(**{"patch_embed.0.bn.weight": torch.tensor([1, float("inf")])}),
        ["patch_embed.0.bn.weight contains NaN or"],
    ),
    "past float32": (
        changed(**{"head.l.bias": torch.full((7,), 1e300, dtype=torch.float64)}),
        ["head.l.bias contains NaN or infinity"],
    ),
    "a variance below 0": (
        changed(**{"head.bn.running_var": -torch.ones(32)}),
        ["head.bn.running_var contains a variance below 0"],
    ),
    "a claim of a huge view": (
        changed(**{"head.l.weight": torch.ones(1).expand(10**9, 32)}),
        ["claims more weights than fit into its"],
    ),
    "one tensor of a variant": (
        {"stages.0.blocks.0.conv.m.c.weight": torch.ones(128, 1, 3, 3)},
        ["contains 1 of the", "tensors of shvit_s1"],
    ),
}


@pytest.mark.parametrize(("state", "parts"), STATES.values(), ids=STATES)
def test_a_state_dict_that_makes_no_shvit_is_told_what_does_not_fit(state, parts, tmp_path):
    refused(saved(tmp_path, state), *parts)


def test_misfits_are_named_as_the_file_names_them(tmp_path):
    state = official_state(tiny())
    del state["blocks2.2.1.m.pw2.bn.bias"]
    state["blocks3.3.ffn.m.pw1.bn.weight"] = torch.ones(3)
    refused(
        saved(tmp_path, {"model": state}),
        "blocks2.2.1.m.pw2.bn.bias is missing",
        "blocks3.3.ffn.m.pw1.bn.weight is (3,), expected (64,)",
    )


def test_a_variant_with_one_fault_is_compared_with_that_variant(tmp_path):
    state = dict(build_random_shvit("shvit_s3", classes=2).state_dict())
    del state["stages.2.blocks.1.conv.m.c.weight"]
    refused(
        saved(tmp_path, state),
        "contains 438 of the 439 tensors of shvit_s3",
        "stages.2.blocks.1.conv.m.c.weight is missing",
    )


def own_file(tmp_path, change):
    """Our own checkpoint of `randomised()`, whose metadata `change` has changed."""
    path = tmp_path / "own.safetensors"
    save_checkpoint(build_trained_model(tiny()), path, overwrite=True)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    told = json.loads(header["__metadata__"]["shvit_mobile"])
    del told["sha256"]
    header["__metadata__"]["shvit_mobile"] = change(told)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    return path


def telling(**fields):
    return lambda told: json.dumps({**told, **fields})


def configured(**numbers):
    return lambda told: json.dumps({**told, "config": {**told["config"], **numbers}})


def seen(**fields):
    return lambda told: json.dumps({**told, "preprocessing": {**told["preprocessing"], **fields}})


METADATA = {
    "no JSON": (lambda told: "{", ["is invalid"]),
    "no object": (lambda told: "[1]", ["is invalid"]),
    "nested deeply": (lambda told: "[" * 100_000, ["is invalid"]),
    "no fields": (lambda told: "{}", ["is invalid: format: Field required"]),
    "a newer major format": (
        telling(format="3.0"),
        ["was written by a newer shvit-mobile, in format 3.0", "pip install --upgrade"],
    ),
    "a newer major format of other fields": (lambda told: '{"format": "3.1", "all": "new"}', ["newer shvit-mobile"]),
    "no version": (telling(format="one"), ["is invalid: format"]),
    "no depths": (configured(depths="many"), ["config.depths"]),
    "a million blocks": (
        configured(depths=[10**6, 2, 1]),
        ["depths is (1000000, 2, 1), but the tensors have (1, 2, 1)"],
    ),
    "other widths": (
        configured(dims=[16, 24, 10**9]),
        ["dims is (16, 24, 1000000000), but the tensors have (16, 24, 32)"],
    ),
    "an impossible configuration": (configured(partial_dims=[99, 9, 12]), ["`partial_dims` is (99, 9, 12)"]),
    "another ratio": (configured(mlp_ratio=2.5), ["mlp_ratio is 2.5, but the tensors have 2.0"]),
    "an infinite ratio": (configured(mlp_ratio=float("inf")), ["mlp_ratio is inf, but"]),
    "attention where there is none": (configured(block_types=["s", "s", "s"]), ["block_types is ('s', 's', 's')"]),
    "more classes": (configured(classes=8), ["classes is 8, but the tensors have 7"]),
    "few labels": (telling(labels=["a"]), ["has 1 labels, but the model has 7 classes"]),
    "labels of lines": (telling(labels=[*"abcdef", "g\nh"]), ["as the label of class 6"]),
    "labels of numbers": (telling(labels=[1, 2]), ["labels.0"]),
    "no size": (seen(size=[0, 10]), ["`size` is (0, 10)"]),
    "no filter": (seen(interpolation="magic"), ["preprocessing.interpolation"]),
    "NaN as a mean": (seen(mean=[float("nan"), 0, 0]), ["nan"]),
}


@pytest.mark.parametrize(("change", "parts"), METADATA.values(), ids=METADATA)
def test_metadata_that_make_no_sense_are_refused(change, parts, tmp_path):
    refused(own_file(tmp_path, change), *parts)


def test_metadata_of_a_newer_minor_format_are_read(tmp_path):
    loaded = load_checkpoint(own_file(tmp_path, telling(format="1.7", something="new")))
    assert loaded.model.config == TINY


def test_metadata_written_anew_without_change_are_read(tmp_path):
    """The file that the tests above change is a good one."""
    assert load_checkpoint(own_file(tmp_path, json.dumps)).dialect == "shvit-mobile"

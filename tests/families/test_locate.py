"""Folders, several files, configurations beside a file and addresses are sources, too."""

import hashlib
import io
import json
import urllib.request
from dataclasses import replace

import pytest
import safetensors.torch
import torch

from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import BadCheckpoint, HubUnavailable, MissingParameter
from shvit_mobile.families import hub
from shvit_mobile.families.checkpoints import load_checkpoint, save_checkpoint
from tests.builders import build_random_shvit, build_trained_model

MODEL = build_random_shvit()
CONFIG = {
    "architecture": "shvit_tiny",
    "num_classes": 7,
    "pretrained_cfg": {"input_size": [3, 96, 96], "mean": [0.5] * 3, "crop_pct": 1.0, "crop_mode": "squash"},
    "label_names": list("abcdefg"),
}
STATED = Preprocessing(size=(96, 96), mean=(0.5,) * 3, crop_ratio=1.0, resize_mode="squash")


@pytest.fixture
def folder(tmp_path):
    """A folder as timm writes it."""
    (tmp_path / "bird").mkdir()
    safetensors.torch.save_file(MODEL.state_dict(), tmp_path / "bird" / "model.safetensors")
    (tmp_path / "bird" / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    return tmp_path / "bird"


def is_same(trained):
    return all(torch.equal(value, MODEL.state_dict()[name]) for name, value in trained.model.state_dict().items())


def test_a_folder_is_a_checkpoint_with_its_configuration(folder):
    loaded = load_checkpoint(folder)
    assert is_same(loaded)
    assert (loaded.preprocessing, loaded.labels) == (STATED, tuple("abcdefg"))
    (note,) = loaded.notes
    assert all(part in note for part in ("config.json", "size 96x96", "7 labels", "defaults: std"))
    (folder / "model.safetensors").unlink()
    torch.save(MODEL.state_dict(), folder / "pytorch_model.bin")
    assert load_checkpoint(str(folder)).preprocessing == STATED


def test_labels_of_transformers_are_read(folder):
    config = {"id2label": {str(index): name for index, name in enumerate("gfedcba")}, "pretrained_cfg": {}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert load_checkpoint(folder).labels == tuple("gfedcba")


def test_a_configuration_of_transformers_is_read_with_its_image_processor(folder):
    config = {"model_type": "shvit", "image_size": 64, "id2label": dict(enumerate("gfedcba"))}
    processor = {"size": {"shortest_edge": 80}, "crop_size": {"height": 64, "width": 64}, "resample": 2}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert load_checkpoint(folder).preprocessing == Preprocessing(size=(64, 64))
    assert "defaults: crop_ratio, mean, std" in load_checkpoint(folder).notes[0]
    processor |= {"do_center_crop": True, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    expected = Preprocessing((64, 64), 0.8, "bilinear", (0.5,) * 3, (0.25,) * 3)
    for source in (folder, folder / "model.safetensors"):
        loaded = load_checkpoint(source)
        assert (loaded.preprocessing, loaded.labels) == (expected, tuple("gfedcba"))
        assert "preprocessor_config.json" in loaded.notes[0]
    (folder / "config.json").unlink()
    assert load_checkpoint(folder).preprocessing == expected


def test_timm_goes_before_an_image_processor(folder):
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.1] * 3, "image_std": [0.2] * 3}), encoding="utf-8"
    )
    assert load_checkpoint(folder).preprocessing == replace(STATED, std=(0.2,) * 3)


@pytest.mark.parametrize("processor", [[], {"size": "large"}, {"size": {"longest_edge": 9}}, {"image_mean": 0.5}])
def test_an_image_processor_that_makes_no_sense_is_refused(processor, folder):
    (folder / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    with pytest.raises(BadCheckpoint) as caught:
        load_checkpoint(folder)
    assert "preprocessor_config.json" in caught.value.what


def test_a_configuration_beside_a_file_is_read_and_told(folder):
    loaded = load_checkpoint(folder / "model.safetensors")
    assert (loaded.preprocessing, loaded.labels) == (STATED, tuple("abcdefg"))
    assert "config.json" in loaded.notes[0]


OTHERS = {
    "another model": {**CONFIG, "architecture": "resnet50"},
    "other classes": {**CONFIG, "num_classes": 1000},
    "another program": {"compilerOptions": {}},
    "a list": [],
}


@pytest.mark.parametrize("config", OTHERS.values(), ids=OTHERS)
def test_a_configuration_of_something_else_beside_a_file_is_told_and_not_used(config, folder):
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    loaded = load_checkpoint(folder / "model.safetensors")
    assert loaded.preprocessing == Preprocessing()
    assert "not used" in loaded.notes[0]


def test_the_only_checkpoint_of_a_folder_is_taken_and_others_are_told(tmp_path):
    torch.save(MODEL.state_dict(), tmp_path / "last.pth")
    assert load_checkpoint(tmp_path).source == "last.pth"
    torch.save(MODEL.state_dict(), tmp_path / "model.safetensors")
    assert "last.pth" in load_checkpoint(tmp_path).notes[0]


@pytest.fixture
def sharded(tmp_path):
    """The index of a checkpoint of two files."""
    state = dict(MODEL.state_dict())
    names = sorted(state)
    parts = {"model-1.safetensors": names[:100], "model-2.safetensors": names[100:]}
    for file, keys in parts.items():
        safetensors.torch.save_file({key: state[key] for key in keys}, tmp_path / file)
    index = {"weight_map": {key: file for file, keys in parts.items() for key in keys}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return tmp_path / "model.safetensors.index.json"


def test_several_files_are_one_checkpoint(sharded):
    loaded = load_checkpoint(sharded)
    assert is_same(loaded)
    assert load_checkpoint(sharded.parent).sha256 == loaded.sha256
    lines = "".join(
        f"{hashlib.sha256((sharded.parent / name).read_bytes()).hexdigest()}  {name}\n"
        for name in ("model-1.safetensors", "model-2.safetensors")
    )
    assert loaded.sha256 == hashlib.sha256(lines.encode()).hexdigest()


def test_a_missing_or_wrong_part_is_named(sharded):
    part = sharded.parent / "model-2.safetensors"
    part.write_bytes((sharded.parent / "model-1.safetensors").read_bytes())
    with pytest.raises(BadCheckpoint, match=r"model-2\.safetensors has no tensor"):
        load_checkpoint(sharded)
    part.unlink()
    with pytest.raises(BadCheckpoint, match=r"model-2\.safetensors is missing"):
        load_checkpoint(sharded)


@pytest.mark.parametrize("index", [[], {}, {"weight_map": {"a": "../x"}}, {"weight_map": {"a": 1}}, {"weight_map": {}}])
def test_an_index_that_makes_no_sense_is_refused(index, tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(BadCheckpoint):
        load_checkpoint(tmp_path)


def test_an_index_names_no_file_outside_its_folder(tmp_path):
    (tmp_path / "inside").mkdir()
    safetensors.torch.save_file(MODEL.state_dict(), tmp_path / "outside.safetensors")
    index = {"weight_map": dict.fromkeys(MODEL.state_dict(), "../outside.safetensors")}
    (tmp_path / "inside" / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(BadCheckpoint):
        load_checkpoint(tmp_path / "inside")


def test_the_sha256_of_a_file_can_be_demanded(folder):
    path = folder / "model.safetensors"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_checkpoint(path, sha256=digest.upper()).sha256 == digest
    for wrong in ("0" * 64, "abc"):
        with pytest.raises(BadCheckpoint) as caught:
            load_checkpoint(path, sha256=wrong)
        assert caught.value.parameter == "sha256"


class Server:
    """Answers every address with the same bytes."""

    def __init__(self, data):
        self.data, self.asked = data, []

    def __call__(self, *handlers):
        assert hub.HttpsOnly in handlers
        return self

    def open(self, url, timeout):
        self.asked.append(url)
        response = io.BytesIO(self.data)
        response.headers = {}
        return response


@pytest.fixture
def server(monkeypatch, tmp_path):
    server = Server(safetensors.torch.save(MODEL.state_dict()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(urllib.request, "build_opener", server)
    return server


URL = "https://example.org/birds/bird.safetensors"


def test_an_address_with_a_sha256_is_downloaded_once(server):
    digest = hashlib.sha256(server.data).hexdigest()
    loaded = load_checkpoint(f"{URL}#sha256={digest}")
    assert (is_same(loaded), loaded.source, loaded.sha256) == (True, "bird.safetensors", digest)
    assert load_checkpoint(URL, sha256=digest).sha256 == digest
    assert server.asked == [URL]


def test_a_changed_copy_in_the_cache_is_downloaded_again(server, tmp_path):
    digest = hashlib.sha256(server.data).hexdigest()
    load_checkpoint(URL, sha256=digest)
    (tmp_path / "cache" / "shvit-mobile" / "downloads" / digest).write_bytes(b"changed")
    assert is_same(load_checkpoint(URL, sha256=digest))
    assert len(server.asked) == 2


def test_another_file_at_an_address_is_refused_and_not_kept(server, tmp_path):
    with pytest.raises(HubUnavailable, match="SHA-256"):
        load_checkpoint(URL, sha256="0" * 64)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_an_address_needs_https_and_a_sha256(server):
    with pytest.raises(MissingParameter) as caught:
        load_checkpoint(URL)
    assert caught.value.parameter == "sha256"
    for wrong in (f"{URL}#sha256=12", "http://example.org/x.pth#sha256=" + "0" * 64, "s3://bucket/x.pth"):
        with pytest.raises(BadCheckpoint):
            load_checkpoint(wrong)
    assert not server.asked


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_changed_bit_of_our_own_file_is_found(share, tmp_path):
    save_checkpoint(build_trained_model(MODEL), tmp_path / "own.safetensors")
    data = bytearray((tmp_path / "own.safetensors").read_bytes())
    data[int(len(data) * share)] ^= 1
    (tmp_path / "own.safetensors").write_bytes(data)
    with pytest.raises(BadCheckpoint):
        load_checkpoint(tmp_path / "own.safetensors")


def test_a_changed_label_of_our_own_file_is_found(tmp_path):
    save_checkpoint(build_trained_model(MODEL), tmp_path / "own.safetensors")
    data = (tmp_path / "own.safetensors").read_bytes()
    assert b"class 3" in data
    (tmp_path / "own.safetensors").write_bytes(data.replace(b"class 3", b"class 8"))
    with pytest.raises(BadCheckpoint, match="checksum"):
        load_checkpoint(tmp_path / "own.safetensors")


def test_a_changed_bit_of_a_pth_is_found_and_files_without_checksums_are_read(tmp_path):
    path = tmp_path / "model.pth"
    torch.save(MODEL.state_dict(), path)
    data = bytearray(path.read_bytes())
    data[data.index(MODEL.head.l.weight.detach().numpy().tobytes()) + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadCheckpoint, match="checksum"):
        load_checkpoint(path)
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(MODEL.state_dict(), path)
    finally:
        torch.serialization.set_crc32_options(True)
    assert is_same(load_checkpoint(path))


def test_numbers_that_overflow_are_refused(tmp_path):
    state = {**MODEL.state_dict(), "head.l.bias": torch.full((7,), 5.9e37)}
    torch.save(state, tmp_path / "model.pth")
    with pytest.raises(BadCheckpoint, match=r"head\.l\.bias contains 5\.9e\+37"):
        load_checkpoint(tmp_path / "model.pth")

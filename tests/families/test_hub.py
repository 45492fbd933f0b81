"""Downloads: complete files are used, failures are reported, and nothing waits without end."""

from __future__ import annotations

import io
import json
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path

import huggingface_hub
import pytest
import safetensors.torch
import torch
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import BadCheckpoint, HubUnavailable
from shvit_mobile.families import hub
from shvit_mobile.families.checkpoints import load_checkpoint, save_checkpoint
from tests.builders import build_random_shvit, build_trained_model

URL = hub.OFFICIAL_RELEASE["shvit_s1"]


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """Every look-up of a name fails, as it does on a machine that is offline; and the caches are empty."""

    def fail(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def in_seconds(seconds, source):
    """The error for `source`, which comes soon."""
    start = time.perf_counter()
    with pytest.raises(HubUnavailable) as caught:
        load_checkpoint(source)
    assert time.perf_counter() - start < seconds
    return caught.value


@pytest.mark.parametrize("source", ["timm/shvit_s1.in1k", "hf-hub:timm/shvit_s1.in1k", "hf_hub:timm/shvit_s1.in1k"])
def test_a_hub_id_without_network_is_told_at_once_what_to_download(source):
    error = in_seconds(5, source)
    assert "timm/shvit_s1.in1k could not be downloaded: https://huggingface.co cannot be reached" in error.what
    assert "https://huggingface.co/timm/shvit_s1.in1k/resolve/main/model.safetensors" in error.hint
    assert "by hand" in error.hint


def test_an_official_variant_without_network_is_told_at_once_what_to_download():
    error = in_seconds(5, "shvit_s1")
    assert "shvit_s1 could not be downloaded: Name or service not known" in error.what
    assert URL in error.why
    assert "by hand" in error.hint


class Hub:
    """A hub of one repository, which is a folder; stands in for the hub's client."""

    def __init__(self, folder):
        self.folder, self.asked = folder, []

    def __call__(self, repository, name, *, revision, local_files_only, etag_timeout):
        self.asked.append((repository, name, revision, local_files_only))
        if not (self.folder / name).exists():
            raise EntryNotFoundError(f"no {name}")
        return str(self.folder / name)


@pytest.fixture
def repository(monkeypatch, tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    client = Hub(folder)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", client)
    monkeypatch.setattr(hub, "is_hub_reachable", lambda: True)
    return client


TIMM_CONFIG = {
    "architecture": "shvit_s1",
    "num_classes": 7,
    "label_names": list("abcdefg"),
    "pretrained_cfg": {
        "tag": "in1k",
        "input_size": [3, 192, 160],
        "interpolation": "bilinear",
        "crop_pct": 0.95,
        "crop_mode": "center",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "pool_size": [4, 4],
    },
}


def publish(repository, config=None, name="model.safetensors"):
    model = build_random_shvit()
    if name.endswith("safetensors"):
        safetensors.torch.save_file(model.state_dict(), repository.folder / name)
    else:
        torch.save(model.state_dict(), repository.folder / name)
    if config is not None:
        (repository.folder / "config.json").write_text(
            config if isinstance(config, str) else json.dumps(config), encoding="utf-8"
        )
    return model


def same(loaded, model):
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        return torch.equal(loaded.model(images), model(images))


def test_a_hub_model_comes_with_its_labels_and_preprocessing(repository):
    model = publish(repository, TIMM_CONFIG)
    loaded = load_checkpoint("hf-hub:someone/birds")
    assert same(loaded, model)
    assert (loaded.source, loaded.dialect) == ("hf-hub:someone/birds", "timm")
    assert loaded.labels == tuple("abcdefg")
    assert loaded.preprocessing == Preprocessing((192, 160), 0.95, "bilinear", (0.5,) * 3, (0.25,) * 3)
    assert repository.asked[0] == ("someone/birds", "model.safetensors", None, False)


def test_a_hub_model_may_be_in_the_older_files(repository):
    flat = {**TIMM_CONFIG["pretrained_cfg"], "architecture": "shvit_s1", "labels": list("tuvwxyz")}
    model = publish(repository, flat, "pytorch_model.bin")
    loaded = load_checkpoint("someone/birds@v2")
    assert same(loaded, model)
    assert loaded.labels == tuple("tuvwxyz")
    assert loaded.preprocessing.size == (192, 160)
    assert {revision for _, _, revision, _ in repository.asked} == {"v2"}


def test_a_hub_model_may_have_no_config(repository):
    publish(repository)
    loaded = load_checkpoint("someone/birds")
    assert loaded.labels[0] == "class 0"
    assert loaded.preprocessing == Preprocessing()


def test_gaps_of_a_hub_config_are_filled_and_what_is_given_goes_before_it(repository):
    publish(repository, {"pretrained_cfg": {"crop_pct": 0.9, "mean": None}})
    assert load_checkpoint("someone/birds").preprocessing == Preprocessing(crop_ratio=0.9)
    given = Preprocessing(size=(96, 96))
    loaded = load_checkpoint("someone/birds", labels=list("1234567"), preprocessing=given)
    assert (loaded.labels[0], loaded.preprocessing) == ("1", given)


def test_our_own_metadata_go_before_a_hub_config(repository):
    publish(repository, TIMM_CONFIG)
    save_checkpoint(
        build_trained_model(build_random_shvit(), size=(72, 40)),
        repository.folder / "model.safetensors",
        overwrite=True,
    )
    assert load_checkpoint("someone/birds").preprocessing.size == (72, 40)


BAD_CONFIGS = {
    "text": ("no json", "is not valid"),
    "nested deeply": ("[" * 100_000, "is not valid"),
    "a list": ([1], "is invalid"),
    "a bad size": ({"pretrained_cfg": {"input_size": [3, 0, 9]}}, "`size` is (0, 9)"),
    "a filter of no name": ({"pretrained_cfg": {"interpolation": "random"}}, "'random' is not an interpolation"),
    "NaN": ('{"pretrained_cfg": {"mean": [NaN, 0, 0]}}', "nan"),
    "another crop": ({"pretrained_cfg": {"crop_mode": "border"}}, "crop_mode 'border'"),
    "few labels": ({**TIMM_CONFIG, "label_names": ["a"]}, "has 1 labels, but the model has 7 classes"),
}


@pytest.mark.parametrize(("config", "part"), BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_a_hub_config_that_makes_no_sense_is_refused(config, part, repository):
    publish(repository, config)
    with pytest.raises(BadCheckpoint) as caught:
        load_checkpoint("someone/birds")
    assert part in str(caught.value)
    assert "someone/birds" in str(caught.value)


def test_a_repository_without_weights_is_told(repository):
    with pytest.raises(HubUnavailable, match=r"contains no weights.\nLooked for: model.safetensors, pytorch_model.bin"):
        load_checkpoint("someone/birds")


class Response:
    """As much of an HTTP response as the client's errors ask for."""

    headers = Message()
    request = None
    status_code = 404


@pytest.mark.parametrize(
    ("reason", "part"),
    [
        (RepositoryNotFoundError("401", response=Response()), "There is no someone/birds on the model hub"),
        (RevisionNotFoundError("404", response=Response()), "has no revision 'main2'"),
        (ConnectionResetError(104, "Connection reset by peer"), "could not be downloaded: Connection reset by peer"),
        (RuntimeError("the client's own\nexplained at length"), "could not be downloaded: the client's own."),
    ],
)
def test_what_the_hub_answers_is_told_in_a_sentence(reason, part, monkeypatch):
    def fail(*_, **__):
        raise reason

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    monkeypatch.setattr(hub, "is_hub_reachable", lambda: True)
    with pytest.raises(HubUnavailable) as caught:
        load_checkpoint("someone/birds@main2")
    assert part in caught.value.what


def test_a_copy_in_the_hubs_cache_serves_without_network(tmp_path):
    commit = "a" * 40
    repository = tmp_path / "hub" / "models--someone--birds"
    (repository / "snapshots" / commit).mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit, encoding="utf-8")
    model = build_random_shvit()
    safetensors.torch.save_file(model.state_dict(), repository / "snapshots" / commit / "model.safetensors")
    loaded = load_checkpoint("someone/birds")
    assert same(loaded, model)
    assert loaded.source == f"someone/birds@{commit}"
    assert commit in loaded.notes[0]
    pinned = load_checkpoint(f"someone/birds@{commit}")
    assert (pinned.source, pinned.notes) == (loaded.source, ())


@pytest.mark.parametrize(
    ("reason", "reachable"),
    [
        (urllib.error.HTTPError("https://huggingface.co", 403, "Forbidden", Message(), None), True),
        (urllib.error.URLError(ssl.SSLCertVerificationError("self-signed")), True),
        (urllib.error.URLError(socket.gaierror(-2, "no name")), False),
        (TimeoutError("timed out"), False),
    ],
)
def test_the_hub_is_reachable_where_anything_answers(reason, reachable, monkeypatch):
    def fail(*_, **__):
        raise reason

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    assert hub.is_hub_reachable() is reachable


def test_an_offline_hub_is_not_asked(monkeypatch):
    def answer(*_, **__):
        return io.BytesIO()

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    assert hub.is_hub_reachable()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert not hub.is_hub_reachable()


class Server:
    """Answers every address with the same bytes; stands in for urllib's openers."""

    def __init__(self, data, length=None):
        self.data, self.length, self.asked = data, length, []

    def __call__(self, *handlers):
        assert hub.HttpsOnly in handlers
        return self

    def open(self, url, timeout):
        self.asked.append(url)
        response = io.BytesIO(self.data)
        response.headers = {} if self.length is None else {"Content-Length": f" {self.length}"}
        return response


@pytest.fixture
def official(tmp_path):
    torch.save({"model": build_random_shvit().state_dict()}, tmp_path / "official.pth")
    return (tmp_path / "official.pth").read_bytes()


def test_an_official_checkpoint_is_downloaded_once(official, monkeypatch, tmp_path):
    server = Server(official, len(official))
    monkeypatch.setattr(urllib.request, "build_opener", server)
    first, second = load_checkpoint("shvit_s1"), load_checkpoint("shvit_s1")
    assert same(first, build_random_shvit())
    assert first.sha256 == second.sha256
    assert first.source == "shvit_s1"
    assert server.asked == [URL]
    cached = sorted(path.name for path in (tmp_path / "cache" / "shvit-mobile").iterdir())
    assert cached == ["shvit_s1.pth", "shvit_s1.pth.sha256"]


def test_a_changed_copy_of_the_official_checkpoint_is_refused(official, monkeypatch, tmp_path):
    monkeypatch.setattr(urllib.request, "build_opener", Server(official))
    load_checkpoint("shvit_s1")
    cached = tmp_path / "cache" / "shvit-mobile" / "shvit_s1.pth"
    cached.write_bytes(official + b"x")
    with pytest.raises(HubUnavailable, match="is not the file that was downloaded"):
        load_checkpoint("shvit_s1")
    cached.with_name("shvit_s1.pth.sha256").unlink()
    cached.write_bytes(official)  # as an earlier version left it
    load_checkpoint("shvit_s1")
    assert cached.with_name("shvit_s1.pth.sha256").is_file()


@pytest.mark.parametrize(
    ("cut", "part"),
    [
        (lambda data: Server(data[:1000], len(data)), "broke off after 1000 of"),
        (lambda data: Server(b"<html>log in</html>"), "did not return a PyTorch checkpoint"),
        (lambda data: Server(b"", 0), "did not return a PyTorch checkpoint"),
        (lambda data: Server(data + bytes(2 * 1024**2)), "is longer than"),
    ],
    ids=["cut short", "login page", "nothing", "too long"],
)
def test_a_download_that_is_not_whole_leaves_nothing(cut, part, official, monkeypatch, tmp_path):
    monkeypatch.setattr(urllib.request, "build_opener", cut(official))
    monkeypatch.setattr(hub, "MAX_DOWNLOAD_BYTES", 2 * 1024**2)
    with pytest.raises(HubUnavailable) as caught:
        load_checkpoint("shvit_s1")
    assert part in caught.value.what
    assert not list((tmp_path / "cache").rglob("*"))


def test_a_download_stays_on_https():
    request = urllib.request.Request(URL)
    follow = hub.HttpsOnly().redirect_request
    assert follow(
        request, None, 302, "Found", Message(), "https://objects.githubusercontent.com/x"
    ).full_url.startswith("https")
    with pytest.raises(urllib.error.URLError, match="not https"):
        follow(request, None, 302, "Found", Message(), "http://objects.githubusercontent.com/x")
    with pytest.raises(HubUnavailable, match="not an https address"):
        hub.download("http://example.org/x.pth", Path("x.pth"))


def test_a_cache_that_cannot_be_written_is_told(official, monkeypatch, tmp_path):
    monkeypatch.setattr(urllib.request, "build_opener", Server(official))
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    (tmp_path / "cache").write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(HubUnavailable, match="shvit_s1 could not be downloaded"):
        load_checkpoint("shvit_s1")


def test_every_variant_has_an_address_on_https():
    assert set(hub.OFFICIAL_RELEASE) == {"shvit_s1", "shvit_s2", "shvit_s3", "shvit_s4"}
    for variant, url in hub.OFFICIAL_RELEASE.items():
        assert url == f"https://github.com/ysj9909/SHViT/releases/download/v1.0/{variant}.pth"

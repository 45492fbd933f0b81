"""The archive of the Core ML delegate is the one that ExecuTorch reads, and a damaged one is refused."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shvit_mobile.targets.flat_archive import DamagedArchiveError, read_archive, write_archive

FILES = {"m/Manifest.json": b"{}", "m/Data/weights/weight.bin": bytes(range(256)), "m/empty": b"", "a.json": b"[1]"}


def replace_directory(data: bytes, change: Any) -> bytes:
    """Return an archive whose nodes were changed; the order of its nodes is that of `FILES`, sorted."""
    text = data[::-1].decode("latin-1")
    directory, end = json.JSONDecoder().raw_decode(text)
    change(directory["nodes"])
    return data[:-end] + json.dumps(directory).encode()[::-1]


def test_executorch_unpacks_what_is_written(tmp_path: Path) -> None:
    from executorch.backends.apple.coreml import executorchcoreml

    assert executorchcoreml.unflatten_directory_contents(write_archive("root", FILES), str(tmp_path))
    found = {str(path.relative_to(tmp_path / "root")): path.read_bytes() for path in tmp_path.rglob("*.*")}
    assert found == {name: content for name, content in FILES.items() if "." in name}


def test_what_executorch_packs_is_read(tmp_path: Path) -> None:
    from executorch.backends.apple.coreml import executorchcoreml

    files = {name: content for name, content in FILES.items() if content}  # of an empty one, it crashes
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert read_archive(executorchcoreml.flatten_directory_contents(str(tmp_path))) == files


NAMES = st.text(st.sampled_from("abc._-"), min_size=1, max_size=4).filter(lambda name: name.strip("."))


@given(st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map(tuple), st.binary(max_size=20)), st.randoms())
def test_files_come_back_and_their_order_does_not_count(files: dict[tuple[str, ...], bytes], random: Any) -> None:
    names = {name: content for name, content in files.items() if not any(name == o[: len(name)] != o for o in files)}
    paths = {"/".join(name): content for name, content in names.items()}
    shuffled = random.sample(list(paths.items()), len(paths))
    data = write_archive("root", paths)
    assert read_archive(data) == paths
    assert data == write_archive("root", dict(shuffled))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda nodes: nodes[0].update(dataRegion={"offset": 0, "size": 10_000}), "outside"),
        (lambda nodes: nodes[0].update(dataRegion={"offset": -3, "size": 3}), "outside"),
        (lambda nodes: nodes[0].update(dataRegion={"offset": 0.5, "size": 1}), "cannot be read"),
        (lambda nodes: nodes[-1].update(children={"..": 0}), "no name"),
        (lambda nodes: nodes[-1].update(children={"/etc/passwd": 0}), "no name"),
        (lambda nodes: nodes[-1].update(children={"a.json": len(nodes) - 1}), "wrong place"),
        (lambda nodes: nodes[-1].update(children={"a.json": -1}), "wrong place"),
        (lambda nodes: nodes[-1].update(children={"another": 0}), "wrong place"),
        (lambda nodes: nodes.append(nodes[0]), "no root"),
        (lambda nodes: nodes.clear(), "no root"),
        (lambda nodes: nodes[-1].pop("children"), "cannot be read"),
    ],
)
def test_a_directory_that_cannot_be_right_is_refused(change: Any, says: str) -> None:
    with pytest.raises(DamagedArchiveError, match=says):
        read_archive(replace_directory(write_archive("root", FILES), change))


def test_files_larger_than_the_archive_are_refused() -> None:
    data = write_archive("root", {str(number): bytes(1000) for number in range(3)})

    def overlap(nodes: list[dict[str, Any]]) -> None:
        for node in nodes[:3]:
            node["dataRegion"] = {"offset": 0, "size": 3000}

    with pytest.raises(DamagedArchiveError, match="larger"):
        read_archive(replace_directory(data, overlap))


@given(st.binary(max_size=300))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DamagedArchiveError):
        read_archive(data)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_read_or_refused(place: int, change: int) -> None:
    data = bytearray(write_archive("root", FILES))
    data[place % len(data)] ^= change
    with suppress(DamagedArchiveError):
        read_archive(bytes(data))

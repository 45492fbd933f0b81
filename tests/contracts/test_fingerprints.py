"""Fingerprints change with any byte or name, and with nothing else."""

import hashlib
import os
from pathlib import Path

import pytest

from shvit_mobile.contracts.fingerprints import compute_sha256, compute_size_bytes


def package(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("_", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_a_file_has_the_fingerprint_everyone_else_gives_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 1000)
    assert compute_sha256(path) == hashlib.sha256(b"abc" * 1000).hexdigest()


def test_a_folder_does_not_depend_on_the_order_of_writing(tmp_path: Path) -> None:
    first = package(tmp_path / "1", a_x="one", b="two")
    second = package(tmp_path / "2", b="two", a_x="one")
    assert compute_sha256(first) == compute_sha256(second)


def test_a_folder_depends_on_names_bytes_and_where_one_file_ends(tmp_path: Path) -> None:
    prints = {
        compute_sha256(package(tmp_path / "1", a="one", b="two")),
        compute_sha256(package(tmp_path / "2", a="one", c="two")),
        compute_sha256(package(tmp_path / "3", a="one", b="twp")),
        compute_sha256(package(tmp_path / "4", a="onet", b="wo")),
        compute_sha256(package(tmp_path / "5", a="one", d_b="two")),
    }
    assert len(prints) == 5


def test_sizes_add_up(tmp_path: Path) -> None:
    assert compute_size_bytes(package(tmp_path / "1", a_x="one", b="four")) == 7


def test_a_name_in_a_folder_need_not_be_utf_8(tmp_path: Path) -> None:
    first, second = package(tmp_path / "1", a="one"), package(tmp_path / "2", a="one")
    (first / os.fsdecode(b"\xff")).touch()
    (second / os.fsdecode(b"\xfe")).touch()
    assert compute_sha256(first) != compute_sha256(second)


@pytest.mark.parametrize("name", ["pipe", "link"])
def test_a_pipe_and_a_device_are_refused_at_once(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    with pytest.raises(OSError, match="not a regular file"):
        compute_sha256(tmp_path / name)

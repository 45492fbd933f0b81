"""Only regular files of a plausible size, of UTF-8 and of plain JSON values are read; nothing else waits or crashes."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from shvit_mobile.contracts.files import (
    check_file,
    list_visible_files,
    open_file,
    parse_json,
    read_bytes,
    read_json,
    read_text,
)
from shvit_mobile.errors import BadRecipe, BadReport


def make_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def make_socket(folder: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(folder / "socket"))
    return folder / "socket"


def make_loop(folder: Path) -> Path:
    (folder / "loop").symlink_to("loop")
    return folder / "loop"


def make_broken_link(folder: Path) -> Path:
    (folder / "link").symlink_to("nowhere")
    return folder / "link"


def make_link_to_a_pipe(folder: Path) -> Path:
    (folder / "link").symlink_to(make_pipe(folder))
    return folder / "link"


UNREADABLE: list[Callable[[Path], Path]] = [
    make_pipe,
    make_socket,
    make_loop,
    make_broken_link,
    make_link_to_a_pipe,
    lambda folder: folder,
    lambda folder: folder / "missing",
    lambda folder: folder / ("long" * 100),
    lambda folder: Path("/dev/zero"),
    lambda folder: Path("/dev/null"),
    lambda folder: Path("/proc/self/mem"),
    lambda folder: folder / "nul\0inside",
    lambda folder: Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe")),
]


@pytest.mark.parametrize("make", UNREADABLE)
def test_what_is_no_regular_file_is_refused_at_once(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    with pytest.raises(BadRecipe) as caught:
        read_bytes(path, limit=100, error=BadRecipe, what="a recipe", parameter="recipe")
    assert caught.value.parameter == "recipe"
    assert str(path) in caught.value.what


def test_a_file_has_at_most_the_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100)
    assert len(read_bytes(tmp_path / "file", limit=100, error=BadRecipe, what="a recipe")) == 100
    check_file(tmp_path / "file", limit=100, error=BadRecipe, what="a recipe")
    with pytest.raises(BadRecipe):
        read_bytes(tmp_path / "file", limit=99, error=BadRecipe, what="a recipe")
    with pytest.raises(BadRecipe):
        check_file(tmp_path / "file", limit=99, error=BadRecipe, what="a recipe")


def test_the_limit_holds_for_a_file_whose_size_the_system_does_not_know() -> None:
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs /proc")
    assert status.stat().st_size == 0
    assert b"Pid:" in read_bytes(status, limit=1 << 20, error=BadRecipe, what="a recipe")
    with pytest.raises(BadRecipe):
        read_bytes(status, limit=100, error=BadRecipe, what="a recipe")


def test_a_sparse_file_of_a_terabyte_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BadRecipe):
        read_bytes(tmp_path / "file", limit=100, error=BadRecipe, what="a recipe")


def test_text_is_utf_8_with_or_without_a_mark_and_keeps_its_line_ends(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes("é\r\n飛".encode())
    (tmp_path / "marked").write_bytes("\ufeffé\r\n飛".encode())
    (tmp_path / "latin").write_bytes(b"one\ntwo\n\xe9")
    assert read_text(tmp_path / "plain", error=BadReport, what="a report") == "é\r\n飛"
    assert read_text(tmp_path / "marked", error=BadReport, what="a report") == "é\r\n飛"
    with pytest.raises(BadReport, match="line 3"):
        read_text(tmp_path / "latin", error=BadReport, what="a report")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 65 + "]" * 65,
        "[" * 100_000,
        '{"a":' * 100_000,
        "NaN",
        "[Infinity]",
        '{"a": -Infinity}',
        "1e999",
        str(1 << 65),
        "9" * 10_000,
        r'"\ud800"',
        r'{"\udc00": 1}',
    ],
)
def test_what_json_between_programs_does_not_carry_is_refused(text: str) -> None:
    with pytest.raises(BadReport):
        parse_json(text, "report.json", error=BadReport, what="a report")


def test_plain_json_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text('\ufeff{"a": [1, 2.5, null, true, "\\ud83d\\ude00"]}', encoding="utf-8")
    read = read_json(tmp_path / "file", error=BadReport, what="a report")
    assert read == {"a": [1, 2.5, None, True, "😀"]}


def test_a_file_that_is_opened_can_be_read_in_parts(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    with open_file(tmp_path / "file", error=BadRecipe, what="a recipe") as file:
        assert (file.read(1), file.read()) == (b"a", b"bc")


def test_hidden_files_packages_and_pipes_are_not_searched(tmp_path: Path) -> None:
    packages = ("x.goldens/a.json", "x.mlpackage/a.json")
    names = ("b.json", "deep/a.json", ".shvit-abcd1234/a.json", ".hidden.json", *packages)
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "deep" / "back").symlink_to(tmp_path)
    assert list_visible_files(tmp_path) == [tmp_path / "b.json", tmp_path / "deep" / "a.json"]

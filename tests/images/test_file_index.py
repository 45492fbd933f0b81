"""A name in a table means one image, several, or none."""

from pathlib import Path

import pytest

from shvit_mobile.images.file_index import FileIndex

FILES = ("cat/a.png", "dog/a.png", "dog/b.v2.png", "c.png", "deep/val/c.png", "caf\u00e9.jpg")
INDEX = FileIndex(Path("/data/set"), FILES, Path("/data/set/lists"))


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("cat/a.png", ["cat/a.png"]),
        ("cat/a", ["cat/a.png"]),
        ("a.png", ["cat/a.png", "dog/a.png"]),
        ("a", ["cat/a.png", "dog/a.png"]),
        ("bird/a.png", []),  # another folder than both
        ("images/cat/a.png", ["cat/a.png"]),
        ("./dog//a.png", ["dog/a.png"]),
        ("/elsewhere/cat/a.png", ["cat/a.png"]),
        ("/data/set/cat/a.png", ["cat/a.png"]),
        ("../cat/a.png", ["cat/a.png"]),
        ("../../cat/a.png", []),
        ("b.v2", ["dog/b.v2.png"]),
        ("b.v2.jpg", []),
        ("c.png", ["c.png"]),
        ("val/c.png", ["deep/val/c.png"]),
        ("x/val/c.png", ["c.png"]),
        ("cafe\u0301.jpg", ["caf\u00e9.jpg"]),
        ("", []),
        ("/", []),
        ("cat", []),
    ],
)
def test_a_name_is_found_by_its_path_its_end_or_without_its_suffix(written: str, found: list[str]) -> None:
    assert sorted(INDEX.find(written)) == sorted(found)
    assert INDEX.is_known(written.replace("/", "\\")) == (len(found) == 1)

"""Outputs appear whole or not at all, and nothing is overwritten unasked."""

from pathlib import Path

import pytest

from shvit_mobile.errors import OutputExists
from shvit_mobile.outputs import whole


def test_files_and_folders_appear_together_when_the_block_ends(tmp_path: Path) -> None:
    finals = (tmp_path / "new" / "a.txt", tmp_path / "new" / "package")
    with whole(*finals) as (file, folder):
        file.write_text("one")
        folder.mkdir()
        (folder / "inside").write_text("two")
        assert not any(final.exists() for final in finals)
    assert finals[0].read_text() == "one"
    assert (finals[1] / "inside").read_text() == "two"
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.txt", "package"]


def test_nothing_appears_when_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="half-way"):
        write_half(tmp_path / "a", tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_folders_made_for_nothing_are_removed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="half-way"):
        write_half(tmp_path / "new" / "deep" / "a")
    assert list(tmp_path.iterdir()) == []


def write_half(*finals: Path, overwrite: bool = False) -> None:
    with whole(*finals, overwrite=overwrite) as (first, *_):
        first.write_text("new")
        raise RuntimeError("half-way")


def test_what_is_there_stays_unless_overwriting_is_asked_for(tmp_path: Path) -> None:
    final = tmp_path / "a"
    final.write_text("old")
    with pytest.raises(OutputExists, match="--overwrite"), whole(final):
        pass
    assert final.read_text() == "old"
    with whole(final, overwrite=True) as (part,):
        part.write_text("new")
    assert final.read_text() == "new"


def test_a_failed_overwrite_leaves_the_old_one(tmp_path: Path) -> None:
    final = tmp_path / "a"
    final.write_text("old")
    with pytest.raises(RuntimeError, match="half-way"):
        write_half(final, overwrite=True)
    assert final.read_text() == "old"


def test_a_folder_replaces_a_folder_wholly(tmp_path: Path) -> None:
    final = tmp_path / "package"
    final.mkdir()
    (final / "stale").write_text("old")
    with whole(final, overwrite=True) as (part,):
        part.mkdir()
        (part / "fresh").write_text("new")
    assert [path.name for path in final.iterdir()] == ["fresh"]
    assert [path.name for path in tmp_path.iterdir()] == ["package"]

"""Outputs appear whole or not at all, and nothing is overwritten unasked."""

from pathlib import Path

import pytest

from shvit_mobile.contracts.outputs import write_atomically
from shvit_mobile.errors import OutputExists


def test_files_and_folders_appear_together_when_the_block_ends(tmp_path: Path) -> None:
    finals = (tmp_path / "new" / "a.txt", tmp_path / "new" / "package")
    with write_atomically(*finals, folders={finals[1]: "inside"}) as (file, folder):
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
    with write_atomically(*finals, overwrite=overwrite) as (first, *_):
        first.write_text("new")
        raise RuntimeError("half-way")


def test_what_is_there_stays_unless_overwriting_is_asked_for(tmp_path: Path) -> None:
    final = tmp_path / "a"
    final.write_text("old")
    with pytest.raises(OutputExists, match="already exists"), write_atomically(final):
        pass
    assert final.read_text() == "old"
    with write_atomically(final, overwrite=True) as (part,):
        part.write_text("new")
    assert final.read_text() == "new"


def test_a_failed_overwrite_leaves_the_old_one(tmp_path: Path) -> None:
    final = tmp_path / "a"
    final.write_text("old")
    with pytest.raises(RuntimeError, match="half-way"):
        write_half(final, overwrite=True)
    assert final.read_text() == "old"


def test_a_folder_replaces_a_folder_of_its_kind_wholly(tmp_path: Path) -> None:
    final = tmp_path / "package"
    final.mkdir()
    (final / "stale").write_text("old")
    (final / "mark").touch()
    with write_atomically(final, folders={final: "mark"}, overwrite=True) as (part,):
        part.mkdir()
        (part / "mark").touch()
        (part / "fresh").write_text("new")
    assert sorted(path.name for path in final.iterdir()) == ["fresh", "mark"]
    assert [path.name for path in tmp_path.iterdir()] == ["package"]


def test_an_empty_folder_may_become_a_package(tmp_path: Path) -> None:
    final = tmp_path / "package"
    final.mkdir()
    with write_atomically(final, folders={final: "mark"}, overwrite=True) as (part,):
        part.mkdir()
        (part / "mark").touch()
    assert [path.name for path in final.iterdir()] == ["mark"]


@pytest.mark.parametrize("folders", [(), ("final",)], ids=["a file", "a package"])
def test_a_folder_of_another_kind_stays(folders: tuple[str, ...], tmp_path: Path) -> None:
    final = tmp_path / "final"
    final.mkdir()
    (final / "precious").write_text("mine")
    kinds = {tmp_path / name: "mark" for name in folders}
    for overwrite in (False, True):
        with (
            pytest.raises(OutputExists, match="is a folder"),
            write_atomically(final, folders=kinds, overwrite=overwrite),
        ):
            pytest.fail("the work begins")
    assert (final / "precious").read_text() == "mine"


def write_while_a_folder_comes(final: Path) -> None:
    with write_atomically(final, overwrite=True) as (part,):
        part.write_text("new")
        final.mkdir()
        (final / "precious").write_text("mine")


def test_a_folder_that_comes_during_the_work_stays(tmp_path: Path) -> None:
    final = tmp_path / "final"
    with pytest.raises(IsADirectoryError):
        write_while_a_folder_comes(final)
    assert (final / "precious").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["final"]

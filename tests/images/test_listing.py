"""What is below a folder is listed with the reason why a file cannot be used."""

import os
from pathlib import Path

import pytest

from shvit_mobile.errors import BadImages
from shvit_mobile.images import decode, listing
from shvit_mobile.images.listing import list_images


def write_empty(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_files_folders_and_others_are_told_apart(tmp_path: Path) -> None:
    found = list_images(write_empty(tmp_path, "b/c/2.png", "b/1.jpg", "a.txt", ".x/3.png", "b/Thumbs.db", "d/x.dng"))
    assert found.files == ("b/1.jpg", "b/c/2.png")
    assert found.folders == ("b", "b/c", "d")
    assert [name for name, _ in found.skipped] == ["a.txt", "d/x.dng"]
    assert found.unusable == 1  # a text was never a picture


def test_a_sub_folder_keeps_what_was_skipped_outside(tmp_path: Path) -> None:
    found = list_images(write_empty(tmp_path, "b/c/2.png", "b/x.txt", "a.txt")).enter("b")
    assert (found.root, found.files, found.folders) == (tmp_path / "b", ("c/2.png",), ("c",))
    assert [name for name, _ in found.skipped] == ["../a.txt", "x.txt"]


def test_a_deep_folder_is_listed(tmp_path: Path) -> None:
    deep = "/".join("d" for _ in range(1200))
    here = os.getcwd()
    try:
        os.chdir(tmp_path)
        for _ in range(1200):
            os.mkdir("d")
            os.chdir("d")
        Path("x.png").touch()
    finally:
        os.chdir(here)
    (tmp_path / "keep.txt").touch()
    try:
        assert list_images(tmp_path).files == (f"{deep}/x.png",)
    finally:  # too deep for what empties temporary folders
        (tmp_path / deep / "x.png").unlink()
        os.removedirs(tmp_path / deep)


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs links")
def test_a_folder_that_two_links_lead_to_is_listed_twice_and_a_circle_once(tmp_path: Path) -> None:
    write_empty(tmp_path / "store", "x.png")
    (tmp_path / "set").mkdir()
    for name in ("one", "two"):
        (tmp_path / "set" / name).symlink_to(tmp_path / "store")
    (tmp_path / "store" / "back").symlink_to(tmp_path / "set")
    found = list_images(tmp_path / "set")
    assert found.files == ("one/x.png", "two/x.png")
    assert [name for name, _ in found.skipped] == ["one/back", "two/back"]


def test_without_its_library_heic_is_skipped_and_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "_register_decoder", lambda format: False)
    monkeypatch.setattr(listing, "_explain_suffix", decode.explain_suffix)
    some = list_images(write_empty(tmp_path / "some", "1.png", "2.png", "3.HEIC"))
    some.check_usable()
    assert "shvit-mobile[heic]" in some.summarize_skipped()[0].reason
    most = list_images(write_empty(tmp_path / "most", "1.png", "2.avif", "3.HEIC"))
    with pytest.raises(BadImages, match=r"1 of 3 images.*shvit-mobile\[heic\]"):
        most.check_usable()

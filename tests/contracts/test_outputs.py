"""Outputs appear whole or not at all, and nothing is overwritten unasked."""

import errno
import os
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from shvit_mobile.contracts.outputs import END_SIGNALS, check_overwrite, defer_signals, write_atomically
from shvit_mobile.errors import OutputExists, UnwritableOutput

SET = ("model", "package", "manifest")


def test_files_and_folders_appear_together_when_the_block_ends(tmp_path: Path) -> None:
    finals = (tmp_path / "new" / "a.txt", tmp_path / "new" / "package")
    with write_atomically(*finals, folders={finals[1]: "inside"}) as (file, folder):
        file.write_text("one", encoding="utf-8")
        folder.mkdir()
        (folder / "inside").write_text("two", encoding="utf-8")
        assert not any(final.exists() for final in finals)
    assert finals[0].read_text(encoding="utf-8") == "one"
    assert (finals[1] / "inside").read_text(encoding="utf-8") == "two"
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
        first.write_text("new", encoding="utf-8")
        raise RuntimeError("half-way")


def test_what_is_there_stays_unless_overwriting_is_asked_for(tmp_path: Path) -> None:
    final = tmp_path / "a"
    final.write_text("old", encoding="utf-8")
    with pytest.raises(OutputExists, match="already exists"), write_atomically(final):
        pass
    assert final.read_text(encoding="utf-8") == "old"
    with write_atomically(final, overwrite=True) as (part,):
        part.write_text("new", encoding="utf-8")
    assert final.read_text(encoding="utf-8") == "new"


def test_a_failed_overwrite_leaves_the_old_one(tmp_path: Path) -> None:
    final = tmp_path / "a"
    final.write_text("old", encoding="utf-8")
    with pytest.raises(RuntimeError, match="half-way"):
        write_half(final, overwrite=True)
    assert final.read_text(encoding="utf-8") == "old"


def test_a_folder_replaces_a_folder_of_its_kind_wholly(tmp_path: Path) -> None:
    final = tmp_path / "package"
    final.mkdir()
    (final / "stale").write_text("old", encoding="utf-8")
    (final / "mark").touch()
    with write_atomically(final, folders={final: "mark"}, overwrite=True) as (part,):
        part.mkdir()
        (part / "mark").touch()
        (part / "fresh").write_text("new", encoding="utf-8")
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
    (final / "precious").write_text("mine", encoding="utf-8")
    kinds = {tmp_path / name: "mark" for name in folders}
    for overwrite in (False, True):
        with (
            pytest.raises(OutputExists, match="is a folder"),
            write_atomically(final, folders=kinds, overwrite=overwrite),
        ):
            pytest.fail("the work begins")
    assert (final / "precious").read_text(encoding="utf-8") == "mine"


def write_while_a_folder_comes(final: Path) -> None:
    with write_atomically(final, overwrite=True) as (part,):
        part.write_text("new", encoding="utf-8")
        final.mkdir()
        (final / "precious").write_text("mine", encoding="utf-8")


def test_a_folder_that_comes_during_the_work_stays(tmp_path: Path) -> None:
    final = tmp_path / "final"
    with pytest.raises(OutputExists):
        write_while_a_folder_comes(final)
    assert (final / "precious").read_text(encoding="utf-8") == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


def write_set(folder: Path, content: str, *, overwrite: bool = True) -> None:
    paths = [folder / name for name in SET]
    written = write_atomically(*paths, folders={paths[1]: "mark"}, obsolete=[folder / "extra"], overwrite=overwrite)
    with written as (model, package, manifest):
        model.write_text(content, encoding="utf-8")
        package.mkdir()
        (package / "mark").write_text(content, encoding="utf-8")
        manifest.write_text(content, encoding="utf-8")


def read_set(folder: Path) -> list[str | None]:
    files = (folder / "model", folder / "package" / "mark", folder / "manifest")
    return [file.read_text(encoding="utf-8") if file.exists() else None for file in files]


def run_killed(action: Callable[[], object], renames: int) -> None:
    """Run `action` in a process that is killed before the rename after `renames` others."""
    if child := os.fork():
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (0, -signal.SIGKILL)
        return
    left = renames
    rename = Path.rename

    def count(source: Path, final: Path) -> Path:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return rename(source, final)

    try:
        Path.rename = count  # type: ignore[method-assign, assignment]
        action()
    finally:
        os._exit(0)


@pytest.mark.parametrize("old", ["nothing", "a set"])
def test_a_set_that_is_killed_anywhere_has_no_manifest_or_is_whole(old: str, tmp_path: Path) -> None:
    seen = set()
    for renames in range(8):
        folder = tmp_path / str(renames)
        if old == "a set":
            write_set(folder, "old")
            (folder / "extra").write_text("old", encoding="utf-8")
        run_killed(lambda folder=folder: write_set(folder, "new"), renames)  # type: ignore[misc]
        *files, manifest = read_set(folder)
        assert manifest is None or set(files) == {manifest}
        assert manifest != "new" or not (folder / "extra").exists()
        seen.add(manifest)
    assert seen == {None, "new"} | ({"old"} if old == "a set" else set())


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    run_killed(lambda: write_set(tmp_path, "dead"), 1)
    assert len(list(tmp_path.glob(".shvit-*"))) == 1
    (tmp_path / ".shvit-of-somebody").mkdir()
    with write_atomically(tmp_path / "living") as (part,):
        part.write_text("living", encoding="utf-8")
        write_set(tmp_path, "new")
        assert [path.name for path in tmp_path.glob(".shvit-????????")] == [part.parent.name]
    assert [path.name for path in tmp_path.glob(".*")] == [".shvit-of-somebody"]
    assert (tmp_path / "living").read_text(encoding="utf-8") == "living"


@pytest.mark.parametrize("moves", range(6))
def test_a_set_that_cannot_be_published_leaves_the_old_one(
    moves: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path, "old")
    rename, left = Path.rename, [moves]

    def fail_once(source: Path, final: Path) -> Path:
        left[0] -= 1
        if left[0] == -1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(source, final)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", fail_once)
        with pytest.raises(UnwritableOutput):
            write_set(tmp_path, "new")
    assert read_set(tmp_path) == ["old"] * 3
    assert not list(tmp_path.glob(".shvit-*"))


def test_one_of_several_writers_succeeds_and_the_others_are_told(tmp_path: Path) -> None:
    barrier = Barrier(8)

    def write(number: int) -> str:
        paths = [tmp_path / "new" / name for name in SET]
        try:
            with write_atomically(*paths, folders={paths[1]: "mark"}) as (model, package, manifest):
                barrier.wait(10)
                model.write_text(str(number), encoding="utf-8")
                package.mkdir()
                (package / "mark").write_text(str(number), encoding="utf-8")
                manifest.write_text(str(number), encoding="utf-8")
        except OutputExists as reason:
            return str(reason.parameter)
        return "written"

    with ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(write, range(8)))
    assert outcomes == ["overwrite"] * 7 + ["written"]
    assert len(set(read_set(tmp_path / "new"))) == 1


def test_writers_that_fail_in_one_new_folder_disturb_nobody(tmp_path: Path) -> None:
    def fail(number: int) -> None:
        for _ in range(50):
            with pytest.raises(RuntimeError, match="half-way"):
                write_half(tmp_path / "new" / "deep" / f"a{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fail, range(4)))
    assert {path.name for path in tmp_path.rglob("*")} <= {"new", "deep"}


def make_link(folder: Path, target: str) -> Path:
    (folder / "link").symlink_to(target)
    return folder / "link"


UNWRITABLE: dict[str, Callable[[Path], Path]] = {
    "a loop": lambda folder: make_link(folder, "link") / "a",
    "a broken link": lambda folder: make_link(folder, "nowhere") / "a",
    "through a file": lambda folder: folder / "file" / "a.json",
    "a long name": lambda folder: folder / ("a" * 300),
    "proc": lambda folder: Path("/proc/new/a"),
}


@pytest.mark.parametrize("make", UNWRITABLE.values(), ids=UNWRITABLE)
def test_a_path_that_cannot_be_written_is_refused_before_the_work(make: Callable[[Path], Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = make(tmp_path)
    with pytest.raises(UnwritableOutput):
        check_overwrite(path, overwrite=True)
    with pytest.raises(UnwritableOutput), write_atomically(path, overwrite=True):
        pytest.fail("the work begins")


def test_the_check_leaves_nothing_behind(tmp_path: Path) -> None:
    check_overwrite(tmp_path / "new" / "deep" / "a", overwrite=False)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_not_utf_8_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff\xfe")
    with write_atomically(path) as (part,):
        part.write_text("new", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "new"


def test_a_full_disk_is_told_with_the_name_of_the_output(tmp_path: Path) -> None:
    def write() -> None:
        with write_atomically(tmp_path / "a"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UnwritableOutput, match="a cannot be written"):
        write()


def test_errors_about_other_files_pass_through(tmp_path: Path) -> None:
    def write() -> None:
        with write_atomically(tmp_path / "a"):
            (tmp_path / "input").read_text(encoding="utf-8")

    with pytest.raises(FileNotFoundError):
        write()


@pytest.mark.parametrize("number", END_SIGNALS)
def test_a_signal_waits_until_the_set_is_published(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def send(source: Path, final: Path) -> Path:
        signal.raise_signal(number)
        return rename(source, final)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", send)
    before = signal.signal(number, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            write_set(tmp_path, "new")
        assert signal.getsignal(number) is interrupt
    finally:
        signal.signal(number, before)
    assert read_set(tmp_path) == ["new"] * 3
    assert not list(tmp_path.glob(".shvit-*"))


def test_signals_that_python_does_not_handle_are_not_deferred() -> None:
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    with defer_signals():
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_read_only_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(UnwritableOutput):
        check_overwrite(tmp_path / "locked" / "a", overwrite=False)
    shutil.rmtree(tmp_path / "locked")

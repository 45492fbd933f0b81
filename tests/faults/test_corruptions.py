"""A damaged file is refused, or answers as the undamaged one; never with something else."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.faults.conftest import Answers, collect_result
from tests.faults.kinds import KINDS, Command
from tests.faults.processes import list_tree, run_command

pytestmark = pytest.mark.faults
CASES = [(kind, number) for kind in KINDS for number in range(KINDS[kind].cases)]
# From the best to the worst: a case counts as the worst of its commands.
OUTCOMES = ("unchanged", "refused", "another input", "wrong")


def test_there_are_more_than_a_thousand() -> None:
    assert len(CASES) > 1000


@pytest.mark.parametrize("kind", KINDS)
def test_undamaged_files_are_accepted_with_the_same_answer_twice(kind: str, folder: Path, answers: Answers) -> None:
    _, commands = KINDS[kind].pick(Random(0))
    for command in commands:
        ended, answer = answers.get(command)
        if kind != "report":
            assert ended.find_misconduct() is None, ended
            assert ended.status == 0, ended
        assert collect_result(run_command(command, folder), folder) == answer, command
        _clear(folder)


@pytest.mark.parametrize(("kind", "number"), CASES, ids=[f"{kind}-{number}" for kind, number in CASES])
def test_a_damaged_file_is_refused_or_harmless(
    kind: str,
    number: int,
    seed: int,
    folder: Path,
    answers: Answers,
    record_property: Callable[[str, object], None],
) -> None:
    random = Random(f"{seed} {kind} {number}")
    path, commands = KINDS[kind].pick(random)
    words = KINDS[kind].damage(folder / path, random)
    outcomes, faults = [], []
    for command in commands:
        outcome, fault = _judge(kind, path, words, command, folder, answers)
        outcomes.append(outcome)
        if fault:
            faults.append(f"shvit-mobile {shlex.join(command)}\n    {fault}")
        _clear(folder)
    record_property("fault", (kind, max(outcomes, key=OUTCOMES.index)))
    assert not faults, f"{path}: {words} (seed {seed})\n" + "\n".join(faults)


def _judge(
    kind: str, path: str, words: str, command: Command, folder: Path, answers: Answers
) -> tuple[str, str | None]:
    """Run a command on the damaged file; return its outcome, and what is wrong."""
    before = list_tree(folder)
    ended = run_command(command, folder)
    if fault := ended.find_misconduct():
        return "wrong", fault
    if ended.status == 2:
        left = sorted(list_tree(folder).items() ^ before.items())
        return ("wrong", f"it was refused and left {left}") if left else ("refused", None)
    if left := [name for name in list_tree(folder) if os.path.basename(name).startswith(".shvit-")]:
        return "wrong", f"it left {left}"
    known, answer = answers.get(command)
    result = collect_result(ended, folder)
    if result == answer:
        return "unchanged", None
    if ended.status == 1 != known.status:
        return "refused", None
    is_other_input = KINDS[kind].is_other_input
    if is_other_input is not None:
        if is_other_input(folder / path, words):
            return "another input", None
        # A picture that cannot be decoded is skipped, and named.
        if kind == "picture" and f"{Path(path).name}" in ended.stdout + ended.stderr:
            return "refused", None
    if kind == "manifest" and command[0] == "inspect" and "its manifest" in ended.stderr and "missing" in ended.stderr:
        return "refused", None
    return "wrong", f"it succeeded with another answer: {_find_difference(answer, result)}"


def _find_difference(known: object, found: object, place: str = "") -> str:
    """Return the first difference of two results."""
    if isinstance(known, dict) and isinstance(found, dict):
        for key in known.keys() | found.keys():
            if known.get(key) != found.get(key):
                return _find_difference(known.get(key), found.get(key), f"{place}.{key}")
    if isinstance(known, list | tuple) and isinstance(found, list | tuple) and len(known) == len(found):
        for index, (first, second) in enumerate(zip(known, found, strict=True)):
            if first != second:
                return _find_difference(first, second, f"{place}.{index}")
    return f"{place} was {known!r:.150}, is {found!r:.150}"


def _clear(folder: Path) -> None:
    """Remove what a command wrote."""
    import shutil

    for path in folder.glob("new*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()

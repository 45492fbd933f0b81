"""`make test-faults`: what fault tests share, and the table at their end."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

import pytest

from tests.faults.kinds import Command
from tests.faults.processes import Ending, run_command
from tests.faults.world import build_world, copy_world

DEFAULT_SEED = 17
# They follow from the time, or from the bytes of a file whose content is the same; a sentence more is no other answer.
_VOLATILE_FIELDS = {"created", "content_sha256", "sources", "notes", "remarks"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=DEFAULT_SEED, help="Seed of the fault tests (default: 17).")
    parser.addoption("--world", type=Path, help="Folder for the inputs of the fault tests, reused where it is built.")


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--seed", default=DEFAULT_SEED))


@pytest.fixture(scope="session")
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The undamaged inputs, built once for all test processes."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    root: Path = request.config.getoption("--world", default=None) or shared / "world"
    with root.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.with_suffix(".built").exists():
            shutil.rmtree(root, ignore_errors=True)
            build_world(root)
            root.with_suffix(".built").touch()
    return root


@pytest.fixture
def folder(world: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the inputs for one case."""
    copy = copy_world(world, tmp_path / "work")
    yield copy
    shutil.rmtree(copy, ignore_errors=True)


class Answers:
    """What the commands answer on the undamaged inputs."""

    def __init__(self, world: Path, scratch: Path) -> None:
        self.world, self.scratch = world, scratch
        self.known: dict[Command, tuple[Ending, Any]] = {}

    def get(self, command: Command) -> tuple[Ending, Any]:
        """Return how a command ends on the undamaged inputs, and its result."""
        if command not in self.known:
            folder = copy_world(self.world, self.scratch / f"answer{len(self.known)}")
            ended = run_command(command, folder)
            self.known[command] = ended, collect_result(ended, folder)
            shutil.rmtree(folder)
        return self.known[command]


@pytest.fixture(scope="session")
def answers(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return Answers(world, tmp_path_factory.mktemp("answers"))


def collect_result(ended: Ending, folder: Path) -> Any:
    """Return what a command printed and wrote, without times."""
    written = {path.relative_to(folder).as_posix(): path for path in sorted(folder.glob("new*"))}
    for name, path in list(written.items()):
        if path.is_dir():
            del written[name]
            written |= {file.relative_to(folder).as_posix(): file for file in sorted(path.rglob("*")) if file.is_file()}
    files = {name: _read_result(path) for name, path in written.items() if path.suffix != ".html"}
    # The size of what is embedded counts the manifest's line ends.
    more = {"size_bytes"} if ended.args[:1] == ("embed",) else set()
    return ended.status, _strip(ended.stdout, more), files


def _read_result(path: Path) -> Any:
    data = path.read_bytes()
    return _strip(data.decode()) if path.suffix == ".json" else hashlib.sha256(data).hexdigest()


def _strip(text: str, more: Set[str] = frozenset()) -> Any:
    """Return JSON without the fields that differ from run to run; other text as it is."""
    try:
        return _drop_volatile(json.loads(text), _VOLATILE_FIELDS | more)
    except ValueError:
        return text


def _drop_volatile(value: Any, fields: Set[str]) -> Any:
    if isinstance(value, dict):
        return {key: _drop_volatile(inner, fields) for key, inner in value.items() if key not in fields}
    return [_drop_volatile(inner, fields) for inner in value] if isinstance(value, list) else value


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print how many cases of each area ended how."""
    tallies: dict[str, Counter[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == "fault" and report.when == "call":
                    area, outcome = value
                    tallies.setdefault(area, Counter())[outcome] += 1
    outcomes = sorted({outcome for tally in tallies.values() for outcome in tally})
    if tallies:
        terminalreporter.section("faults")
        terminalreporter.write_line("| area | tried | " + " | ".join(outcomes) + " |")
        terminalreporter.write_line("|---|---|" + "---|" * len(outcomes))
        for area in sorted(tallies):
            cells = [str(tallies[area][outcome]) for outcome in outcomes]
            terminalreporter.write_line(f"| {area} | {sum(tallies[area].values())} | " + " | ".join(cells) + " |")

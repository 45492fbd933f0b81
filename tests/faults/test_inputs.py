"""What no command accepts: status 2 within seconds, one sentence, nothing written, less than 4 GB."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.faults.conftest import DEFAULT_SEED
from tests.faults.contents import list_contents
from tests.faults.inputs import VALID, list_inputs
from tests.faults.kinds import Command
from tests.faults.processes import list_tree, run_command

pytestmark = pytest.mark.faults
COUNT = 400
MAX_SECONDS = 10
INPUTS = {name: (args, create) for name, args, create in (*list_inputs(), *list_contents())}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "name" in metafunc.fixturenames:
        seed = metafunc.config.getoption("--seed", default=DEFAULT_SEED)
        metafunc.parametrize("name", sorted(Random(seed).sample(sorted(INPUTS), COUNT)))


@pytest.mark.parametrize("command", VALID, ids=" ".join)
def test_commands_without_the_invalid_option_succeed(command: Command, folder: Path) -> None:
    ended = run_command(command, folder)
    assert ended.status == 0, ended


def test_an_invalid_input_is_refused(name: str, folder: Path, record_property: Callable[[str, object], None]) -> None:
    args, create = INPUTS[name]
    create(folder)
    before = list_tree(folder)
    ended = run_command(args, folder)
    fault = ended.find_misconduct()
    left = sorted(list_tree(folder).items() ^ before.items())
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    if not fault:
        if ended.status != 2:
            fault = f"status {ended.status}: {(ended.stderr + ended.stdout)[-400:]}"
        elif len(errors) != 1:
            fault = f"{len(errors)} errors: {ended.stderr[-400:]}"
        elif left:
            fault = f"it left {left}"
        elif ended.seconds > MAX_SECONDS:
            fault = f"it took {ended.seconds:.0f} s"
    record_property("fault", (f"invalid input: {args[0] if args else 'nothing'}", "wrong" if fault else "refused"))
    assert fault is None, f"{b' '.join(map(os.fsencode, args))!r}: {fault}"

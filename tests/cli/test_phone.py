"""`phone` measures on a connected phone of either system and compares the report as `devices` does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shvit_mobile.contracts.artifact import Artifact
from tests.apps.phone.conftest import SetFault, artifact, set_fault, world
from tests.apps.phone.fakes import FakeWorld
from tests.cli.conftest import Call

__all__ = ["artifact", "set_fault", "world"]  # fixtures, which replace those of the command line's tests here

TOOL = {"android": "adb", "ios": "xcrun"}


@pytest.mark.parametrize("kind", ["android", "ios"])
def test_a_run_prints_its_table_and_notes_and_keeps_the_report(
    kind: str, call: Call, world: FakeWorld, artifact: Artifact, set_fault: SetFault
) -> None:
    set_fault("", TOOL[kind])
    result = call("phone", artifact.path, "--into", world.apps[kind], "--rounds", 3, "--sustained", 5)
    assert result.exit_code == 0, result.output
    assert "shvit_s1-64-executorch-" in result.stdout
    (report,) = Path("reports").glob("*.json")
    assert f"is {report}." in result.stderr
    assert "shvit-mobile embed --into" in result.stderr
    assert "--undo" in result.stderr
    again = call("devices", report, "--artifacts", artifact.path)
    assert again.exit_code == 0
    assert again.stdout == result.stdout


def test_json_names_the_report_and_the_run(
    call: Call, world: FakeWorld, artifact: Artifact, set_fault: SetFault
) -> None:
    set_fault("", "adb")
    result = call("phone", artifact.path, "--into", world.apps["android"], "--out", "one.json", "--json")
    told = json.loads(result.stdout)
    assert told["report"] == "one.json"
    assert len(told["rows"]) == 1
    assert told["rows"][0]["known"]
    assert told["run_id"] == json.loads(Path("one.json").read_text(encoding="utf-8"))["run_id"]
    assert told["notes"]


def test_a_run_is_compared_with_an_earlier_one(
    call: Call, world: FakeWorld, artifact: Artifact, set_fault: SetFault
) -> None:
    set_fault("", "adb")
    arguments = ("phone", artifact.path, "--into", world.apps["android"], "--out")
    assert call(*arguments, "first.json").exit_code == 0
    result = call(*arguments, "second.json", "--baseline", "first.json", "--max-slowdown", "5%")
    assert result.exit_code == 0, result.output
    assert "earlier" in result.stdout


@pytest.mark.parametrize(
    ("fault", "options", "says"),
    [
        ("two", (), "--device R5CT"),
        ("silent", ("--timeout", "1"), "--timeout"),
        ("", ("--compute", "all"), "--compute"),
        ("", ("--threads", "two"), "--threads"),
        ("", ("--device", "R5C"), "R5C"),
    ],
)
def test_an_error_names_the_option_that_helps(
    fault: str,
    options: tuple[str, ...],
    says: str,
    call: Call,
    world: FakeWorld,
    artifact: Artifact,
    set_fault: SetFault,
) -> None:
    set_fault(fault, "adb")
    result = call("phone", artifact.path, "--into", world.apps["android"], *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert "`" not in result.stderr
    assert "Traceback" not in result.output

"""`shvit-mobile doctor`: what works on this machine and what to install."""

from __future__ import annotations

from dataclasses import asdict

import typer

from .console import data, note, show
from .errors import GATE_FAILED
from .options import Json
from .progress import Steps
from .tables import cell, titled


def doctor(as_json: Json = False) -> None:
    """Check what works on this machine, and say what to install.

    Versions against the tested set, and every engine by loading it. Needs no network.
    """
    from .checks import checks

    with Steps("Doctor") as steps:
        found = list(checks(steps))
    wrong = [check for check in found if not check.good]
    if as_json:
        data({"good": not wrong, "checks": [asdict(check) for check in found]})
    else:
        table = titled("This installation", "what", "found", "wanted", "")
        for check in found:
            table.add_row(cell(check.name), cell(check.found), cell(check.wanted), "good" if check.good else "wrong")
        show(table)
    for check in wrong:
        note(f"{check.name}: {check.found}. {check.hint}")
    if wrong:
        raise typer.Exit(GATE_FAILED)
    note("All is well.")

"""`shvit-mobile doctor`: what works on this machine and what to install."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from shvit_mobile.errors import UnknownArchitecture

from .console import data, note, show
from .errors import GATE_FAILED
from .options import Json
from .progress import Steps
from .tables import cell, titled


def doctor(
    install: Annotated[
        str | None,
        typer.Option(
            metavar="arm64", help="First set up the ARM64 emulation, from Debian's packages and ARM64 wheels."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check what works on this machine, and say what to install.

    Versions against the tested set, and every engine by loading it. Needs no network, but for --install.
    """
    from .checks import checks

    if install is not None:
        set_up(install)
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


def set_up(architecture: str) -> None:
    """Downloads what emulating an architecture needs, where it is not there already."""
    UnknownArchitecture.chosen(architecture, ["arm64"])

    from shvit_mobile.runtimes.arm64.cpus import native
    from shvit_mobile.runtimes.arm64.install import install

    if native():
        note("This machine is ARM64 itself: nothing need be emulated.")
        return
    with Steps("Setting up ARM64") as steps:
        sysroot = install(steps.follow)
    note(f"The ARM64 emulation is in {sysroot.folder}.")

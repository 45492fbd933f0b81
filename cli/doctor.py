"""`shvit-mobile doctor`: what works on this machine and what to install."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from shvit_mobile.errors import parse_choice

from .console import print_json, print_note, print_table
from .errors import GATE_FAILED
from .options import JsonOption
from .progress import JobProgress
from .tables import create_table, format_cell


def doctor(
    install: Annotated[
        str | None,
        typer.Option(
            metavar="arm64", help="First set up the ARM64 emulation, from Debian's packages and ARM64 wheels."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check what works on this machine, and say what to install.

    Versions against the tested set, and every engine by loading it. Needs no network, but for --install.
    """
    from .checks import run_checks

    if install is not None:
        install_emulator(install)
    with JobProgress("Doctor") as steps:
        found = list(run_checks(steps))
    wrong = [check for check in found if not check.good]
    if as_json:
        print_json({"good": not wrong, "checks": [asdict(check) for check in found]})
    else:
        table = create_table("This installation", "what", "found", "wanted", "")
        for check in found:
            table.add_row(
                format_cell(check.name),
                format_cell(check.found),
                format_cell(check.wanted),
                "good" if check.good else "wrong",
            )
        print_table(table)
    for check in wrong:
        print_note(f"{check.name}: {check.found}. {check.hint}")
    if wrong:
        raise typer.Exit(GATE_FAILED)
    print_note("All is well.")


def install_emulator(architecture: str) -> None:
    """Downloads what emulating an architecture needs, where it is not there already."""
    parse_choice(architecture, ["arm64"], "architecture")

    from shvit_mobile.runtimes.arm64.cpus import is_arm64_host
    from shvit_mobile.runtimes.arm64.install import install

    if is_arm64_host():
        print_note("This machine is ARM64 itself: nothing need be emulated.")
        return
    with JobProgress("Setting up ARM64") as steps:
        sysroot = install(steps.follow)
    print_note(f"The ARM64 emulation is in {sysroot.folder}.")

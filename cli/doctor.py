"""`shvit-mobile doctor`: checks what works on this machine, and says what to install."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from . import options as opt
from .console import print_json, print_note, print_table
from .errors import GATE_FAILED
from .progress import JobProgress
from .tables import create_table, format_cell

if TYPE_CHECKING:
    from shvit_mobile.environments import EnvironmentName


def doctor(install: opt.Install = None, as_json: opt.Json = False) -> None:
    """Check what works on this machine, and say what to install.

    Compares versions with the tested set, and loads every engine. Needs no network, except with --install.
    """
    if install == "arm64":
        _install_emulator()
    elif install is not None:
        _install_environment(install)
    with JobProgress("Doctor") as progress:
        from shvit_mobile.runtimes.installation import run_checks

        checks = list(run_checks(progress.follow))
    faults = [check for check in checks if not check.good]
    if as_json:
        print_json({"good": not faults, "checks": [asdict(check) for check in checks]})
    else:
        table = create_table("This installation", "what", "installed", "tested with", "")
        for check in checks:
            cells = (check.name, check.found, check.wanted, "ok" if check.good else "wrong")
            table.add_row(*map(format_cell, cells))
        print_table(table)
    for check in faults:
        print_note(f"{check.name}: {check.found}. {check.hint}")
    if faults:
        raise typer.Exit(GATE_FAILED)
    print_note("Everything works.")


def _install_emulator() -> None:
    """Download what the ARM64 emulator needs, unless it is already installed."""
    from shvit_mobile.errors import ToolMissing
    from shvit_mobile.processes import InstallFailed
    from shvit_mobile.runtimes.arm64.counter import install_counter
    from shvit_mobile.runtimes.arm64.cpus import is_arm64_host
    from shvit_mobile.runtimes.arm64.install import install

    if is_arm64_host():
        print_note("This machine is ARM64 itself and needs no emulator.")
        return
    with JobProgress("Installing the ARM64 emulator") as progress:
        sysroot = install(progress.follow)
    print_note(f"The ARM64 emulator is in {sysroot.folder}.")
    try:
        with JobProgress("Installing the instruction counter") as progress:
            counter = install_counter(sysroot, progress.follow)
    except (ToolMissing, InstallFailed) as reason:
        print_note(f"note: instructions cannot be counted here. {reason}")
    else:
        print_note(f"The instruction counter is in {counter.folder}.")


def _install_environment(name: "EnvironmentName") -> None:
    """Install packages that do not fit beside those of this project, unless they are already installed."""
    from shvit_mobile.environments import ENVIRONMENTS, install_environment

    with JobProgress(f"Installing the environment '{name}'") as progress:
        folder = install_environment(ENVIRONMENTS[name], progress.follow)
    print_note(f"The environment '{name}' is in {folder}.")

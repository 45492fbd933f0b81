"""What Android phones and iPhones have in common, and the choice of one of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shvit_mobile.apps.phone.request import BenchmarkRequest, RunEnd
from shvit_mobile.apps.projects import SYSTEM_NAMES, App, AppKind
from shvit_mobile.errors import PhoneFailed, PhoneFault
from shvit_mobile.progress import ProgressCallback


@dataclass(frozen=True)
class PhoneTrouble:
    """Why a phone cannot be used, and what helps.

    Attributes:
        state: The state in a few words, to follow "is".
    """

    fault: PhoneFault
    state: str
    hint: str


class Phone(Protocol):
    """A phone that a tool lists, with the way to build for it, install on it, and run the benchmark.

    Attributes:
        kind: Its system.
        serial: Its identity for the tool.
        name: Its usual name.
        trouble: Why it cannot be used; None if it can.
    """

    @property
    def kind(self) -> AppKind: ...
    @property
    def serial(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def trouble(self) -> PhoneTrouble | None: ...

    def build(self, app: App, *, team: str | None) -> BuiltApp:
        """Build the release variant of an app; raise `PhoneFailed` if that fails."""

    def install(self, built: BuiltApp) -> None:
        """Install a built app; raise `PhoneFailed` if that fails."""

    def run(self, built: BuiltApp, request: BenchmarkRequest, *, limit_s: float, progress: ProgressCallback) -> RunEnd:
        """Run the benchmark to its end; raise `PhoneFailed` if there is no report."""

    def fetch(self, built: BuiltApp, end: RunEnd, target: Path) -> None:
        """Copy the report to a file; raise `PhoneFailed` if that fails."""


@dataclass(frozen=True)
class BuiltApp:
    """A built app.

    Attributes:
        path: The package to install.
        identifier: Its identity on the phone.
    """

    path: Path
    identifier: str


def select_phone(phones: Sequence[Phone], device: str | None = None) -> Phone:
    """Return the phone with this serial number or name, or the only one that can be used.

    Raises:
        PhoneFailed: If there is none, if there are several, or if it cannot be used.
    """
    if device is not None:
        phones = _match_phones(phones, device)
    elif not phones:
        raise PhoneFailed(
            "No phone is connected.",
            fault="no_phone",
            why="Android needs USB debugging (Settings, Developer options); an iPhone has to trust this computer.",
            hint="Connect a phone by cable and unlock it.",
        )
    usable = [phone for phone in phones if phone.trouble is None]
    if len(usable) == 1:
        return usable[0]
    if usable:
        raise PhoneFailed(
            f"{len(usable)} phones are connected.",
            fault="several_phones",
            why=f"They are {_describe_phones(usable)}.",
            hint=f"Choose one: `device={usable[0].serial}`",
            parameter="device",
        )
    phone = phones[0]
    trouble = phone.trouble
    if trouble is None:  # for the type checker: none of them is usable
        raise ValueError(phone)
    others = f" Others: {_describe_phones(phones[1:])}." if len(phones) > 1 else ""
    raise PhoneFailed(
        f"{phone.name} ({phone.serial}) is {trouble.state}.{others}", fault=trouble.fault, hint=trouble.hint
    )


def _match_phones(phones: Sequence[Phone], device: str) -> list[Phone]:
    matches = [phone for phone in phones if phone.serial == device] or [
        phone for phone in phones if phone.name.casefold() == device.casefold()
    ]
    if not matches:
        raise PhoneFailed(
            f"There is no phone '{device}'.",
            fault="unknown_phone",
            why=f"Connected: {_describe_phones(phones)}." if phones else "No phone is connected.",
            parameter="device",
        )
    return matches


def _describe_phones(phones: Sequence[Phone]) -> str:
    return ", ".join(f"{phone.name} ({SYSTEM_NAMES[phone.kind]}, {phone.serial})" for phone in phones)


def create_build_error(lines: Sequence[str], pattern: re.Pattern[str], *, system: str, log: Path) -> PhoneFailed:
    """Return the error of a failed build with its first line that says why: a match of `pattern`, or else the last."""
    found = next((match[1] or match[0] for line in lines if (match := pattern.search(line))), None)
    first = (found or next((line for line in reversed(lines) if line.strip()), "")).strip()
    return PhoneFailed(f"The {system} app was not built: {first}", fault="build", why=f"The whole output is in {log}.")


def create_disconnected_error(phone: Phone, during: str) -> PhoneFailed:
    return PhoneFailed(
        f"{phone.name} ({phone.serial}) was disconnected during {during}.",
        fault="disconnected",
        hint="Connect it again, by another cable or port, and run the command again.",
    )

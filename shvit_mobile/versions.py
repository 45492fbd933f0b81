"""When, by what and with which versions of packages: what every report says of itself."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version


def get_package_versions(*packages: str) -> dict[str, str]:
    """The version of each package that is installed here."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def format_measured_by(command: str) -> str:
    """This program, its version and the command that measured."""
    return f"shvit-mobile {version('shvit-mobile')} {command}"


def get_timestamp() -> str:
    """The moment, in ISO 8601, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")

"""The time, program and package versions in every report."""

from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

# This program's own version, which pyproject.toml reads here; packaging/shvit-mobile repeats it.
VERSION = "0.1.0"
_OWN_NAME = "shvit-mobile"


def get_package_versions(*packages: str) -> dict[str, str]:
    """Return the version of each package that is installed; "shvit-mobile" is this program, however it came here."""
    versions = {}
    for package in packages:
        try:
            versions[package] = VERSION if package == _OWN_NAME else version(package)
        except PackageNotFoundError:
            continue
    return versions


def format_measured_by(command: str) -> str:
    """Return the name and version of this program, and the command that measured."""
    return f"{_OWN_NAME} {VERSION} {command}"


def get_timestamp() -> str:
    """Return the current time in ISO 8601, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")

"""The time, program and package versions in every report."""

from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version


def get_package_versions(*packages: str) -> dict[str, str]:
    """Return the version of each package that is installed."""
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def format_measured_by(command: str) -> str:
    """Return the name and version of this program, and the command that measured."""
    return f"shvit-mobile {version('shvit-mobile')} {command}"


def get_timestamp() -> str:
    """Return the current time in ISO 8601, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")

"""Downloads and verifies Debian packages with apt and unpacks them into a folder, without root and without installing.

Packages that this machine's release no longer has come from an older release of the configured mirrors.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from shvit_mobile.errors import ToolMissing
from shvit_mobile.processes import InstallFailed, format_last_error, run_command

# Separate lists and archives, so that it works with empty or old lists. Sources, keys and proxies are the machine's. So
# is the record of installed packages, which are not downloaded again. Nothing is installed, so apt needs no lock, which
# only root can take.
APT_CONFIG = """\
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Debug::NoLocking "true";
Dir::State::lists "{folder}/lists";
Dir::Cache "{folder}/cache";
"""
# For another release than the machine's: separate sources, and an empty record of installed packages.
RELEASE_CONFIG = """\
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::status "{folder}/status";
"""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def unpack_packages(
    packages: Iterable[str], into: Path, *, dependencies: bool = False, release: str | None = None
) -> None:
    """Unpack packages into a folder.

    Args:
        packages: The packages' names.
        into: An existing folder.
        dependencies: Whether to unpack dependencies that this machine does not have (default: False).
        release: The Debian release that has them (default: the machine's own).

    Raises:
        ToolMissing: If there is no apt or dpkg.
        InstallFailed: If apt does not have them, or cannot download them.
    """
    names = list(packages)
    missing = [tool for tool in ("apt-get", "dpkg-deb") if not shutil.which(tool)]
    if missing:
        raise ToolMissing(
            f"{' and '.join(missing)} cannot be found on this machine.",
            why=f"apt downloads and verifies these Debian packages: {', '.join(names)}.",
            hint="Use a Debian machine or container.",
        )
    with tempfile.TemporaryDirectory(prefix="shvit-apt-") as temporary:
        for archive in download_packages(names, Path(temporary), dependencies, release):
            about = f"{archive.name} cannot be unpacked.", ""
            run_command(["dpkg-deb", "--extract", str(archive), str(into)], failure=about)


def download_packages(names: list[str], folder: Path, dependencies: bool, release: str | None) -> list[Path]:
    for place in ("lists/partial", "cache/archives/partial"):
        (folder / place).mkdir(parents=True)
    config = folder / "apt.conf"
    config.write_text(APT_CONFIG.format(folder=folder), encoding="utf-8")
    if release:
        restrict_to_release(release, config)
    environment = {**os.environ, "APT_CONFIG": str(config), "LC_ALL": "C"}
    # A source other than Debian may fail: only the packages matter.
    update = ["apt-get", "--quiet=2", "update"]
    updated = subprocess.run(update, env=environment, capture_output=True, text=True, check=False, encoding="utf-8")
    what = f"apt cannot download {', '.join(names)}{f' of Debian {release}' if release else ''}."
    why = f"They come from the Debian mirror that apt is configured with. {format_last_error(updated)}".strip()
    # `--reinstall` also downloads packages that are recorded as installed, such as a JDK that cannot be found.
    with_others = ["install", "--reinstall", "--yes", "--download-only"]
    wanted = with_others if dependencies else ["download"]
    run_command(["apt-get", "--quiet=2", *wanted, *names], environment, folder, (what, why))
    archives = [*folder.glob("*.deb"), *(folder / "cache/archives").glob("*.deb")]
    if not archives:
        raise InstallFailed(what, why="apt succeeded, but there is no archive.")
    return archives


def restrict_to_release(release: str, config: Path) -> None:
    """Restrict the apt configuration to one Debian release."""
    folder = config.parent
    (folder / "status").touch()
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    (folder / "sources.list").write_text(
        "".join(f"deb {signed}{mirror} {release} main\n" for mirror in list_mirrors()), encoding="utf-8"
    )
    with config.open("a", encoding="utf-8") as file:
        file.write(RELEASE_CONFIG.format(folder=folder))


def list_mirrors() -> list[str]:
    """Return the mirrors that apt is configured with."""
    about = "apt does not list its mirrors.", ""
    listed = run_command(["apt-get", "--print-uris", "update"], failure=about)
    uris = [line.split("'")[1] for line in listed.splitlines() if line.startswith("'")]
    return list(dict.fromkeys(uri.partition("/dists/")[0] for uri in uris if "/dists/" in uri))

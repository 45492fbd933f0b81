"""Debian's packages, downloaded and verified by apt and unpacked into a folder: no root, nothing installed.

What this machine's own release no longer has comes from an older one, by the mirrors that apt is configured with.
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

# Lists and archives of its own, so that a machine whose lists are empty or old serves too. Sources, keys and proxies
# stay the machine's, and so does the record of what is installed: what is there already is not downloaded. Nothing is
# installed, so that record needs no lock, which only root could take.
APT_CONFIG = """\
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Debug::NoLocking "true";
Dir::State::lists "{folder}/lists";
Dir::Cache "{folder}/cache";
"""
# Another release than the machine's: sources of its own, and a record by which nothing is installed.
RELEASE_CONFIG = """\
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::status "{folder}/status";
"""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def unpack_packages(
    packages: Iterable[str], into: Path, *, dependencies: bool = False, release: str | None = None
) -> None:
    """Unpacks packages into a folder, and, if asked, those they depend on that this machine does not have.

    Args:
        packages: their names.
        into: the folder, which is there.
        dependencies: whether to unpack what they depend on, too.
        release: Debian's release that has them; the machine's own otherwise.

    Raises:
        ToolMissing: there is no apt or dpkg.
        InstallFailed: apt does not have them, or cannot download them.
    """
    names = list(packages)
    missing = [tool for tool in ("apt-get", "dpkg-deb") if not shutil.which(tool)]
    if missing:
        raise ToolMissing(
            f"{' and '.join(missing)} cannot be found on this machine.",
            why=f"From Debian come {', '.join(names)}, which apt downloads and verifies.",
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
    config.write_text(APT_CONFIG.format(folder=folder))
    if release:
        restrict_to_release(release, config)
    environment = {**os.environ, "APT_CONFIG": str(config), "LC_ALL": "C"}
    # A source that is not Debian's may fail without harm: whether the packages are there is what counts.
    update = ["apt-get", "--quiet=2", "update"]
    updated = subprocess.run(update, env=environment, capture_output=True, text=True, check=False)
    what = f"apt cannot download {', '.join(names)}{f' of Debian {release}' if release else ''}."
    why = f"They come from the Debian mirror that apt is configured with. {format_last_error(updated)}".strip()
    # Reinstalled: where a JDK is recorded as installed and cannot be found, it is to be downloaded all the same.
    with_others = ["install", "--reinstall", "--yes", "--download-only"]
    wanted = with_others if dependencies else ["download"]
    run_command(["apt-get", "--quiet=2", *wanted, *names], environment, folder, (what, why))
    archives = [*folder.glob("*.deb"), *(folder / "cache/archives").glob("*.deb")]
    if not archives:
        raise InstallFailed(what, why="apt ended well and left no archive.")
    return archives


def restrict_to_release(release: str, config: Path) -> None:
    """Makes apt, as `config` sets it up, see one release of Debian and nothing else."""
    folder = config.parent
    (folder / "status").touch()
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    (folder / "sources.list").write_text("".join(f"deb {signed}{mirror} {release} main\n" for mirror in list_mirrors()))
    with config.open("a") as file:
        file.write(RELEASE_CONFIG.format(folder=folder))


def list_mirrors() -> list[str]:
    """Where this machine gets Debian's packages from, and whatever else it gets by apt."""
    about = "apt does not tell its mirrors.", ""
    listed = run_command(["apt-get", "--print-uris", "update"], failure=about)
    uris = [line.split("'")[1] for line in listed.splitlines() if line.startswith("'")]
    return list(dict.fromkeys(uri.partition("/dists/")[0] for uri in uris if "/dists/" in uri))

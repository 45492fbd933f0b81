"""Download Debian packages with the machine's apt, from its sources and verified by its keys, without root."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from shvit_mobile.processes import format_last_error, run_command

# Separate state and cache for apt, so that it needs no root and leaves the machine's package database alone. Sources,
# keys and proxies are the machine's.
_CONFIG = """\
APT::Architecture "arm64";
APT::Architectures {{ "arm64"; "{host}"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
"""
DOWNLOAD_ERROR = (
    "apt cannot download the ARM64 packages.",
    "They come from the Debian mirror in apt's configuration; mirrors of other systems may have no ARM64 packages.",
)


class Apt:
    """The machine's apt with a state of its own, in which nothing is installed.

    Attributes:
        host: The machine's own architecture, as Debian names it.
    """

    def __init__(self, folder: Path) -> None:
        """Read the lists of packages.

        Args:
            folder: A folder for its state and downloads, which are used again after an interruption.
        """
        self.host = run_command(["dpkg", "--print-architecture"])
        self._folder = folder
        for subfolder in ("state/lists/partial", "cache/archives/partial"):
            (folder / subfolder).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        config = folder / "apt.conf"
        config.write_text(_CONFIG.format(folder=folder, host=self.host), encoding="utf-8")
        self._environment = {**os.environ, "APT_CONFIG": str(config), "LC_ALL": "C"}
        # Other sources than Debian's may fail without harm, so the status is ignored; a missing package fails later.
        command = ["apt-get", "--quiet=2", "update"]
        update = subprocess.run(
            command, env=self._environment, capture_output=True, check=False, encoding="utf-8", errors="replace"
        )
        what, why = DOWNLOAD_ERROR
        self._failure = what, f"{why} {format_last_error(update)}".strip()
        self._run("autoclean")  # outdated versions from an interrupted attempt

    def download_with_dependencies(self, *packages: str) -> list[Path]:
        """Download packages and all that they depend on; a name may end in ":" and an architecture.

        Returns:
            The files of all packages that were downloaded so far, sorted.

        Raises:
            InstallFailed: If apt has none, or cannot download them.
        """
        self._run("install", "--yes", "--download-only", *packages)
        return sorted((self._folder / "cache/archives").glob("*.deb"))

    def download_alone(self, package: str) -> Path:
        """Download a package for the machine's own architecture without its dependencies.

        Raises:
            InstallFailed: If apt does not have it, or cannot download it.
        """
        self._run("download", f"{package}:{self.host}")
        return max(self._folder.glob(f"{package}_*.deb"), key=lambda path: path.stat().st_mtime)

    def _run(self, *arguments: str) -> None:
        run_command(["apt-get", "--quiet=2", *arguments], self._environment, self._folder, self._failure)

"""Runs `swift` with the given arguments: the installed one, or Debian's, which it downloads on first use.

    python tools/ios/swift.py test --scratch-path build/swift

Debian 13 has Swift 6. apt downloads and verifies its packages from the configured mirrors. They are unpacked into a
cache folder of 1.3 GB (set $SHVIT_SWIFT to choose another one); installed packages do not change. Swift then runs with
that folder as its root directory and this repository mounted in it, in a separate mount namespace, which leaves no
mounts.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from shvit_mobile.cache import resolve_cache_folder
from shvit_mobile.contracts.outputs import write_atomically
from shvit_mobile.errors import ShvitError, ToolMissing
from shvit_mobile.processes import InstallFailed, format_last_error, run_command

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER_VARIABLE = "SHVIT_SWIFT"
VERSION = "6.0.3"
RELEASE = "trixie"
PACKAGES = ("swiftlang", "libstdc++-14-dev", "libc6-dev")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
BIN = "usr/libexec/swift/bin"

# A separate apt configuration for the release that has Swift. The machine's proxies still apply.
APT_CONFIG = """\
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
"""
DOWNLOAD_FAILURE = (
    f"apt cannot download Swift {VERSION}.",
    f"It is in Debian 13 ({RELEASE}), and comes from apt's configured mirrors.",
)

# Static libraries, other platforms, debugger, language servers and gcc's compiler: 1.2 GB that the tests do not need.
UNUSED = (
    "usr/libexec/swift/lib/swift_static",
    "usr/libexec/swift/lib/swift/embedded",
    "usr/libexec/swift/lib/swift/FrameworkABIBaseline",
    "usr/libexec/swift/lib/libsourcekitdInProc.so",
    "usr/libexec/swift/lib/liblldb.so*",
    "usr/libexec/swift/bin/lldb*",
    "usr/libexec/swift/bin/clangd",
    "usr/libexec/swift/bin/sourcekit-lsp",
    "usr/libexec/swift/bin/docc",
    "usr/libexec/gcc",
    "usr/share/doc",
    "usr/share/locale",
)

# $1: the root directory; $2: the repository; $3: the working directory; then the command.
ENTER_SCRIPT = f"""\
set -e
root=$1 repository=$2 directory=$3; shift 3
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root$repository"
mount --bind "$repository" "$root$repository"
enter=$(command -v unshare)
PATH=/{BIN}:/usr/bin HOME=/root LC_ALL=C.UTF-8 exec "$enter" --root="$root" --wd="$directory" "$@"
"""


def build_command(arguments: Sequence[str]) -> list[str]:
    """Return the command line that runs a program of the toolchain ("swift", "swiftc", "llvm-cov").

    Raises:
        ToolMissing, InstallFailed: If the toolchain cannot be installed.
    """
    return list(arguments) if has_swift() else build_enter_command(install_toolchain(), arguments)


def has_swift() -> bool:
    """Return whether a recent Swift is installed. OpenStack's client has the same name."""
    if not shutil.which("swift"):
        return False
    output = subprocess.run(
        ["swift", "--version"], capture_output=True, text=True, check=False, encoding="utf-8"
    ).stdout
    match = re.search(r"Swift version (\d+)\.", output)
    return match is not None and int(match[1]) >= int(VERSION.partition(".")[0])


def install_toolchain() -> Path:
    """Return the folder of Debian's toolchain; download and unpack it atomically if needed."""
    folder = get_toolchain_folder()
    if folder.exists():
        return folder
    check_tools()
    print(f"Unpacking Swift {VERSION} into {folder}", file=sys.stderr)
    downloads = folder.with_name(f"{folder.name}.downloads")
    with write_atomically(folder, overwrite=True) as (part,):
        unpack(download_packages(downloads), part)
        check_starts(part)
    shutil.rmtree(downloads, ignore_errors=True)
    return folder


def check_starts(root: Path) -> None:
    """Raise `InstallFailed` if the unpacked toolchain does not start with the expected version."""
    result = subprocess.run(
        build_enter_command(root, ["swift", "--version"]), capture_output=True, text=True, check=False, encoding="utf-8"
    )
    if f"version {VERSION} " not in result.stdout:
        raise InstallFailed(
            f"Debian's Swift does not start as version {VERSION}.",
            why=result.stdout.strip() or format_last_error(result),
        )


def get_toolchain_folder() -> Path:
    """Return the toolchain's folder: $SHVIT_SWIFT, or a folder of its version in the cache."""
    return resolve_cache_folder(FOLDER_VARIABLE, f"swift-{VERSION}")


def check_tools() -> None:
    """Raise `ToolMissing` if this machine cannot install the toolchain."""
    if missing := [tool for tool in ("apt-get", "dpkg-deb", "unshare") if not shutil.which(tool)]:
        raise ToolMissing(
            f"There is no swift on this machine, and no {' and no '.join(missing)} to install it.",
            why=f"Without an installed Swift, the one of Debian 13 ({RELEASE}) is used.",
            hint="Install Swift 6 (on a Mac: Xcode 16), or use a Debian machine or container.",
        )


def download_packages(
    folder: Path, packages: Sequence[str] = PACKAGES, failure: tuple[str, str] = DOWNLOAD_FAILURE
) -> list[Path]:
    """Download packages of Debian 13 (default: the toolchain's) and their dependencies; return their paths.

    Raises:
        InstallFailed: If apt does not have them, or cannot download them.
    """
    for place in ("state/lists/partial", "cache/archives/partial"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    signed = f"[signed-by={KEYRING}] " if Path(KEYRING).exists() else ""
    sources = [f"deb {signed}{mirror} {RELEASE} main\n" for mirror in list_mirrors(failure)]
    (folder / "sources.list").write_text("".join(sources), encoding="utf-8")
    config = folder / "apt.conf"
    config.write_text(APT_CONFIG.format(folder=folder), encoding="utf-8")
    environment = {**os.environ, "APT_CONFIG": str(config), "LC_ALL": "C"}

    # Some mirrors may lack that release: only the packages matter.
    update = ["apt-get", "--quiet=2", "update"]
    updated = subprocess.run(update, env=environment, capture_output=True, text=True, check=False, encoding="utf-8")
    about = failure[0], f"{failure[1]} {format_last_error(updated)}".strip()
    # An interrupted download may have left older versions.
    run_command(["apt-get", "--quiet=2", "autoclean"], environment, failure=about)
    # base-files links /lib to /usr/lib, so it must be unpacked first.
    wanted = ["base-files", *packages]
    run_command(["apt-get", "--quiet=2", "install", "--yes", "--download-only", *wanted], environment, failure=about)
    archives = sorted((folder / "cache/archives").glob("*.deb"))
    return sorted(archives, key=lambda archive: not archive.name.startswith("base-files_"))


def list_mirrors(failure: tuple[str, str] = DOWNLOAD_FAILURE) -> list[str]:
    """Return the mirrors that apt is configured with."""
    output = run_command(["apt-get", "--print-uris", "update"], failure=failure)
    uris = [line.split("'")[1] for line in output.splitlines() if line.startswith("'")]
    return list(dict.fromkeys(uri.partition("/dists/")[0] for uri in uris if "/dists/" in uri))


def unpack(packages: Sequence[Path], root: Path, unused: Sequence[str] = UNUSED) -> None:
    """Unpack packages into `root` without the unused files. Package scripts do not run."""
    root.mkdir()
    for package in packages:
        run_command(["dpkg-deb", "--extract", str(package), str(root)], failure=DOWNLOAD_FAILURE)
    for pattern in unused:
        for path in root.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def build_enter_command(root: Path, arguments: Sequence[str]) -> list[str]:
    """Return the command line that runs a program with `root` as its root directory and the repository mounted.

    Raises:
        ToolMissing: If this machine does not allow mount namespaces.
    """
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    result = subprocess.run([*namespace, "true"], capture_output=True, text=True, check=False, encoding="utf-8")
    if result.returncode != 0:
        raise ToolMissing(
            "This machine does not allow mount namespaces.",
            why=f"Debian's Swift runs in one. {format_last_error(result)}",
            hint="Run as root, or start the container with --cap-add SYS_ADMIN; or install Swift 6.",
        )
    directory = Path.cwd() if Path.cwd().is_relative_to(REPOSITORY) else REPOSITORY
    return [*namespace, "sh", "-c", ENTER_SCRIPT, "enter", str(root), str(REPOSITORY), str(directory), *arguments]


def main() -> NoReturn:
    try:
        line = build_command(["swift", *sys.argv[1:]])
    except ShvitError as reason:
        print(f"error: {reason}", file=sys.stderr)
        sys.exit(2)
    sys.stdout.flush()
    os.execvp(line[0], line)


if __name__ == "__main__":
    main()

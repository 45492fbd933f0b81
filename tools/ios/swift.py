"""Runs `swift` with the arguments given: the machine's own where there is one, else Debian's, which it unpacks first.

    python tools/ios/swift.py test --package-path ios_demo/SHViTKit

Debian 13 has Swift 6. Its packages are downloaded and verified by apt, from the mirror that apt is configured with, and
unpacked into a folder of the cache ($SHVIT_SWIFT overrides which), 1.3 GB; neither root nor the machine's own packages
are touched. Swift then runs with that folder as its root directory and with this repository mounted in it, in a mount
namespace of its own: when it ends, every mount is gone.
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

# A world of apt's own, as of the release that has Swift. Proxies stay the machine's.
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
    f"It is in Debian 13 ({RELEASE}), and comes from the Debian mirror that apt is configured with.",
)

# Static libraries, other platforms, debugger, editors' servers and gcc's own compiler: 1.2 GB that tests never touch.
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
    """The command line that runs a program of the toolchain ("swift", "swiftc", "llvm-cov") here.

    Raises:
        ToolMissing, InstallFailed: the toolchain cannot be had on this machine.
    """
    return list(arguments) if has_swift() else build_enter_command(install_toolchain(), arguments)


def has_swift() -> bool:
    """Whether this machine has a Swift of its own that is new enough; OpenStack's client has the same name."""
    if not shutil.which("swift"):
        return False
    said = subprocess.run(["swift", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"Swift version (\d+)\.", said)
    return found is not None and int(found[1]) >= int(VERSION.partition(".")[0])


def install_toolchain() -> Path:
    """The folder of Debian's toolchain, which is downloaded and unpacked if it is not there; whole or not at all."""
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
    """Raises `InstallFailed` where what was unpacked is not Swift of the version wanted."""
    tried = subprocess.run(
        build_enter_command(root, ["swift", "--version"]), capture_output=True, text=True, check=False
    )
    if f"version {VERSION} " not in tried.stdout:
        raise InstallFailed(
            f"What Debian has does not start as Swift {VERSION}.", why=tried.stdout.strip() or format_last_error(tried)
        )


def get_toolchain_folder() -> Path:
    """Where the toolchain is, or will be: $SHVIT_SWIFT, or a folder of its version in the cache."""
    return resolve_cache_folder(FOLDER_VARIABLE, f"swift-{VERSION}")


def check_tools() -> None:
    """Raises `ToolMissing` where the toolchain cannot be made on this machine."""
    if missing := [tool for tool in ("apt-get", "dpkg-deb", "unshare") if not shutil.which(tool)]:
        raise ToolMissing(
            f"There is no swift on this machine, and no {' and no '.join(missing)} to get it with.",
            why=f"Without a swift of its own, a machine gets that of Debian 13 ({RELEASE}).",
            hint="Install Swift 6 (on a Mac: Xcode 16), or use a Debian machine or container.",
        )


def download_packages(folder: Path) -> list[Path]:
    """The packages of the toolchain and of all that it needs.

    Raises:
        InstallFailed: apt has none, or cannot download them.
    """
    for place in ("state/lists/partial", "cache/archives/partial"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    signed = f"[signed-by={KEYRING}] " if Path(KEYRING).exists() else ""
    sources = [f"deb {signed}{mirror} {RELEASE} main\n" for mirror in list_mirrors()]
    (folder / "sources.list").write_text("".join(sources))
    config = folder / "apt.conf"
    config.write_text(APT_CONFIG.format(folder=folder))
    environment = {**os.environ, "APT_CONFIG": str(config), "LC_ALL": "C"}

    # Not every mirror of this machine holds that release: whether the packages are there is what counts.
    update = ["apt-get", "--quiet=2", "update"]
    updated = subprocess.run(update, env=environment, capture_output=True, text=True, check=False)
    about = DOWNLOAD_FAILURE[0], f"{DOWNLOAD_FAILURE[1]} {format_last_error(updated)}".strip()
    # An interrupted attempt may have left versions that are no longer the newest.
    run_command(["apt-get", "--quiet=2", "autoclean"], environment, failure=about)
    # base-files makes /lib a link to /usr/lib, and has to be unpacked before what is linked to from there.
    wanted = ["base-files", *PACKAGES]
    run_command(["apt-get", "--quiet=2", "install", "--yes", "--download-only", *wanted], environment, failure=about)
    archives = sorted((folder / "cache/archives").glob("*.deb"))
    return sorted(archives, key=lambda archive: not archive.name.startswith("base-files_"))


def list_mirrors() -> list[str]:
    """Where this machine gets Debian's packages from."""
    listed = run_command(["apt-get", "--print-uris", "update"], failure=DOWNLOAD_FAILURE)
    uris = [line.split("'")[1] for line in listed.splitlines() if line.startswith("'")]
    return list(dict.fromkeys(uri.partition("/dists/")[0] for uri in uris if "/dists/" in uri))


def unpack(packages: Sequence[Path], root: Path) -> None:
    """Fills `root`, without what is not needed. No script of a package is run."""
    root.mkdir()
    for package in packages:
        run_command(["dpkg-deb", "--extract", str(package), str(root)], failure=DOWNLOAD_FAILURE)
    for pattern in UNUSED:
        for path in root.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def build_enter_command(root: Path, arguments: Sequence[str]) -> list[str]:
    """The command line that runs a program with `root` as its root directory, where the repository is mounted.

    Raises:
        ToolMissing: this machine allows no mounts of one's own.
    """
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    tried = subprocess.run([*namespace, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        raise ToolMissing(
            "This machine lets no program have mounts of its own.",
            why=f"Debian's Swift runs in them. {format_last_error(tried)}",
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

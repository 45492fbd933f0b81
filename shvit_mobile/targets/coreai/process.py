"""A process of its own for Apple's Core AI, which aborts the process on a damaged program.

Even for a sound one it may abort when Python ends while one of its threads still returns a result.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from importlib.util import find_spec
from multiprocessing import Pipe
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any, Literal

from shvit_mobile.contracts.artifact import EXPORT_AGAIN_HINT
from shvit_mobile.errors import BadArtifact
from shvit_mobile.quiet import build_missing_error
from shvit_mobile.targets.coreai import worker
from shvit_mobile.targets.coreai.package import check_package

_PURPOSE = "It reads and runs Core AI packages."
_EXIT_TIMEOUT_SECONDS = 5


def check_runtime() -> str:
    """Run a small program in a process of its own, and return what ran it.

    Raises:
        BadArtifact: If it fails.
        ToolMissing: If coreai-core is not installed, or cannot be loaded.
    """
    with TemporaryDirectory() as folder, closing(CoreAIProcess(Path(folder, "check.aimodel"), "check")) as process:
        return f"native, coreai-core {process.facts['version']}"


class CoreAIProcess:
    """A process that has read a package, until `close` ends it.

    Attributes:
        facts: What `worker.py` says about the package after reading it: for "inspect" the fields of an inventory, for
            "run" the signature, for "expose" the operators.
    """

    facts: dict[str, Any]

    def __init__(self, path: Path, command: Literal["inspect", "run", "expose", "check"]) -> None:
        """Start the process and read the package in it.

        Args:
            path: The package.
            command: "inspect" to read its facts only, "run" to compile it as well, "expose" to prepare `expose`,
                "check" to write and run a package of its own at `path`.

        Raises:
            BadArtifact: If it is no `.aimodel` package, or is damaged.
            ToolMissing: If coreai-core is not installed, or cannot be loaded.
        """
        if command != "check":
            check_package(path)
        if find_spec("coreai") is None:
            raise build_missing_error("coreai", _PURPOSE)
        self._path = path
        self._stderr = TemporaryFile()  # noqa: SIM115  open as long as the process
        self._pipe, theirs = Pipe()
        with theirs:
            # In a new session, so that Ctrl-C reaches only this process, which then ends the other.
            self._process = subprocess.Popen(
                [sys.executable, "-P", worker.__file__, str(theirs.fileno()), command, str(path.absolute())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                # It finds the modules that this process finds.
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        try:
            self.facts = json.loads(self._receive())
        except BaseException:
            self.close()
            raise

    def run(self, values: bytes) -> bytes:
        """Compute the outputs of one image; both are the bytes of float32 values, one tensor after the other.

        Raises:
            BadArtifact: If the program fails, or the process dies.
        """
        with suppress(OSError):  # if the process has died, `_receive` raises
            self._pipe.send_bytes(values)
        return self._receive()

    def expose(self, values: Sequence[str], free: Path, forced: Path) -> None:
        """Write two packages that show some values of this one, once.

        Args:
            values: Their names in the facts.
            free: The package in which they are additional outputs, called as they are. Its folder does not exist.
            forced: The package in which each use of one is also an additional input, called "NAME (given)".

        Raises:
            BadArtifact: If the library fails.
        """
        request = {"exposed": list(values), "free": str(free), "forced": str(forced)}
        with suppress(OSError):
            self._pipe.send_bytes(json.dumps(request).encode())
        self._receive()

    def close(self) -> None:
        """End the process at once."""
        self._pipe.close()
        self._process.kill()
        self._process.wait()
        self._stderr.close()

    def _receive(self) -> bytes:
        try:
            message = self._pipe.recv_bytes()
        except (EOFError, OSError):
            raise self._build_death_error() from None
        kind, payload = message[:1], message[1:]
        if kind == worker.DONE:
            return payload
        said = payload.decode(errors="replace")
        if kind == worker.MISSING:
            raise build_missing_error("coreai", _PURPOSE, ImportError(said))
        raise BadArtifact(
            f"Core AI cannot run {self._path}: {said}",
            why="It may be damaged, or made for a newer Core AI.",
            hint=EXPORT_AGAIN_HINT,
        )

    def _build_death_error(self) -> BadArtifact:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_TIMEOUT_SECONDS)
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").splitlines()
        # Before it aborts, the library says why.
        said = next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), "")
        return BadArtifact(
            f"Core AI cannot read {self._path}: {said or f'its process died with status {self._process.returncode}'}.",
            why="It may be damaged, or made for a newer Core AI, or the machine ran out of memory.",
            hint=EXPORT_AGAIN_HINT,
        )

"""An emulated process and its pipes: the values of an image go in, its outputs come out."""

import json
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, cast

from shvit_mobile.errors import ShvitError
from shvit_mobile.processes import get_last_line
from shvit_mobile.runtimes.arm64 import worker
from shvit_mobile.runtimes.arm64.cpus import CPU
from shvit_mobile.runtimes.arm64.sysroot import INSTALL_COMMAND, Sysroot

_EXIT_TIMEOUT_SECONDS = 5
_LIBRARIES_VARIABLE = "LD_LIBRARY_PATH"


class EmulatorFailed(ShvitError):
    """The emulated process did not start, died, or could not run the program."""


@dataclass(frozen=True)
class _Handshake:
    """The first message of an emulated process.

    Attributes:
        python: The version of its Python.
        features: The features of its CPU that XNNPACK finds.
    """

    python: str
    features: tuple[str, ...]


@dataclass(frozen=True)
class Emulator:
    """The command of an emulator, and the folder of libraries that it needs itself, which the program does not see."""

    command: tuple[str, ...]
    libraries: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {} if self.libraries is None else {_LIBRARIES_VARIABLE: str(self.libraries)}


class EmulatedProcess:
    """A process on an emulated CPU, until `close` ends it.

    The constructor returns at once and `handshake` waits until the process is ready, so several can start together.
    """

    def __init__(
        self,
        sysroot: Sysroot,
        cpu: CPU,
        program: Path | None = None,
        sizes: Sequence[int] = (),
        *,
        emulator: Emulator | None = None,
    ) -> None:
        """Start the process.

        Args:
            sysroot: Its Linux.
            cpu: The CPU to emulate.
            program: The .pte to load (default: none, only the libraries).
            sizes: The shape of the program's input.
            emulator: What emulates the CPU (default: the sysroot's).

        Raises:
            EmulatorFailed: If the emulator does not start.
        """
        emulator = emulator or Emulator((str(sysroot.qemu),))
        self._hint = f"If it never works, remove {sysroot.folder} and set it up again: {INSTALL_COMMAND}"
        self._stderr = TemporaryFile()  # noqa: SIM115  open as long as the process
        self._handshake: _Handshake | None = None
        try:
            # In a new session, so that Ctrl-C reaches only this process, which then ends the other.
            self._process = subprocess.Popen(
                [*emulator.command, "-U", _LIBRARIES_VARIABLE, *build_arguments(sysroot, cpu, program, sizes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env={"LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1", **emulator.environment},
                start_new_session=True,
            )
        except OSError as reason:
            self._stderr.close()
            raise EmulatorFailed(
                f"{emulator.command[0]} cannot be started: {reason.strerror}.", hint=self._hint
            ) from None
        self._stdin, self._stdout = cast(BinaryIO, self._process.stdin), cast(BinaryIO, self._process.stdout)

    @property
    def handshake(self) -> _Handshake:
        """The first message; waits until the process is ready.

        Raises:
            EmulatorFailed: If it does not start, or cannot load the program.
        """
        if self._handshake is None:
            message = json.loads(self._receive())
            self._handshake = _Handshake(message["python"], tuple(message["features"]))
        return self._handshake

    def compute_outputs(self, values: bytes, *, is_counted: bool = False) -> bytes:
        """Compute the outputs of one image; both are the bytes of float32 values, one output after the other.

        Args:
            values: The image.
            is_counted: Whether an emulator that counts instructions counts those of this image.

        Raises:
            EmulatorFailed: If the program fails, or the process dies.
        """
        return self._ask(worker.COUNTED if is_counted else worker.DONE, values)

    def describe_operators(self) -> list[dict[str, Any]]:
        """Return the operators that XNNPACK executes for an image, as `worker._OperatorReader.read` describes them.

        Images must have been computed before.

        Raises:
            EmulatorFailed: If they cannot be read, or the process dies.
        """
        described: list[dict[str, Any]] = json.loads(self._ask(worker.DESCRIBED, b""))
        return described

    def _ask(self, kind: bytes, values: bytes) -> bytes:
        """Send a frame, and return the answer's payload."""
        _ = self.handshake
        with suppress(OSError):  # if the process has died, `_receive` raises
            self._stdin.write(worker.FRAME_HEADER.pack(kind, len(values)) + values)
            self._stdin.flush()
        return self._receive()

    def _receive(self) -> bytes:
        header = self._stdout.read(worker.FRAME_HEADER.size)
        kind, length = worker.FRAME_HEADER.unpack(header) if len(header) == worker.FRAME_HEADER.size else (b"", 0)
        payload = self._stdout.read(length)
        if kind == worker.DONE and len(payload) == length:
            return payload
        if kind == worker.FAILED:
            raise EmulatorFailed("The program does not run on emulated ARM64.", why=payload.decode(errors="replace"))
        raise EmulatorFailed(
            f"The emulated ARM64 process died with status {self._wait_for_exit()}.",
            why=self._format_last_output(),
            hint=self._hint,
        )

    def _wait_for_exit(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_TIMEOUT_SECONDS)
        return self._process.returncode

    def _format_last_output(self) -> str:
        self._stderr.seek(0)
        line = get_last_line(self._stderr.read().decode(errors="replace"))
        return f"It said: {line}" if line else "It said nothing; the machine may have run out of memory."

    def close(self) -> None:
        """End the process at once, even while it runs an image."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._stdin, self._stdout, self._stderr):
            with suppress(OSError):  # a dead process leaves unwritten data
                pipe.close()


def build_arguments(sysroot: Sysroot, cpu: CPU, program: Path | None, sizes: Sequence[int]) -> list[str]:
    """Return the arguments of an emulator that starts `worker.py` on an emulated CPU."""
    return [
        *("-cpu", cpu.model, "-L", str(sysroot.root)),
        # Isolated from this machine's Python variables and packages.
        *(str(sysroot.python), "-I", "-S", str(Path(worker.__file__).absolute())),
        *(str(sysroot.site), ",".join(cpu.hidden)),
        *((str(program.absolute()), ",".join(map(str, sizes))) if program else ()),
    ]

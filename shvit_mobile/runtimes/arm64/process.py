"""One emulated process and the pipes to it: an image's values go in, its logits come out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import BinaryIO, Self, cast

from shvit_mobile.errors import ShvitError
from shvit_mobile.runtimes.arm64 import worker
from shvit_mobile.runtimes.arm64.cpus import CPU
from shvit_mobile.runtimes.arm64.sysroot import INSTALL_COMMAND, Sysroot

EXIT_TIMEOUT_SECONDS = 5


class EmulatorFailed(ShvitError):
    """The emulated process did not start, died, or could not run the program."""


@dataclass(frozen=True)
class Handshake:
    """What an emulated process tells first.

    Attributes:
        python: the version of its Python.
        features: of its CPU, as XNNPACK sees them.
    """

    python: str
    features: tuple[str, ...]


class EmulatedProcess:
    """A process on an emulated CPU; a context manager that ends it.

    It starts at once and in seconds; `hello` waits for it, so that several can start together.
    """

    def __init__(self, sysroot: Sysroot, cpu: CPU, program: Path | None = None, sizes: Sequence[int] = ()) -> None:
        """Starts the process.

        Args:
            sysroot: where its Linux is.
            cpu: what to emulate.
            program: the .pte to load; without one, only the libraries are loaded.
            sizes: of the program's input.

        Raises:
            EmulatorFailed: the emulator cannot be started.
        """
        self._again = f"If it never works, remove {sysroot.folder} and set it up again: {INSTALL_COMMAND}"
        self._said = TemporaryFile()  # noqa: SIM115  open as long as the process
        self._hello: Handshake | None = None
        try:
            # In a session of its own, so that Ctrl-C reaches this process alone, which then ends the other.
            self._process = subprocess.Popen(
                build_command(sysroot, cpu, program, sizes),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                env={"LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )
        except OSError as reason:
            self._said.close()
            raise EmulatorFailed(
                f"{sysroot.qemu} cannot be started: {reason.strerror}.",
                hint=self._again,
            ) from None
        self._to, self._from = cast(BinaryIO, self._process.stdin), cast(BinaryIO, self._process.stdout)

    @property
    def handshake(self) -> Handshake:
        """What it found; waits until it is ready.

        Raises:
            EmulatorFailed: it did not start, or could not load the program.
        """
        if self._hello is None:
            told = json.loads(self._receive())
            self._hello = Handshake(told["python"], tuple(told["features"]))
        return self._hello

    def compute_logits(self, values: bytes) -> bytes:
        """The logits of one image, both as float32.

        Raises:
            EmulatorFailed: the program failed, or the process died.
        """
        _ = self.handshake
        with suppress(OSError):  # where it has died, the answer says so
            self._to.write(worker.FRAME_HEADER.pack(worker.DONE, len(values)) + values)
            self._to.flush()
        return self._receive()

    def _receive(self) -> bytes:
        head = self._from.read(worker.FRAME_HEADER.size)
        kind, length = worker.FRAME_HEADER.unpack(head) if len(head) == worker.FRAME_HEADER.size else (b"", 0)
        payload = self._from.read(length)
        if kind == worker.DONE and len(payload) == length:
            return payload
        if kind == worker.FAILED:
            raise EmulatorFailed("The program does not run on emulated ARM64.", why=payload.decode(errors="replace"))
        raise EmulatorFailed(
            f"The emulated ARM64 process died with status {self._wait_for_exit()}.",
            why=self._format_last_output(),
            hint=self._again,
        )

    def _wait_for_exit(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_TIMEOUT_SECONDS)
        return self._process.returncode

    def _format_last_output(self) -> str:
        self._said.seek(0)
        lines = [line.strip() for line in self._said.read().decode(errors="replace").splitlines() if line.strip()]
        return f"It said: {lines[-1]}" if lines else "It said nothing; the machine may have run out of memory."

    def close(self) -> None:
        """Ends the process, which an image under way does not delay."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._to, self._from, self._said):
            with suppress(OSError):  # what could not be written any more
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, reason: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def build_command(sysroot: Sysroot, cpu: CPU, program: Path | None, sizes: Sequence[int]) -> list[str]:
    """What starts `worker.py` on an emulated CPU."""
    return [
        *(str(sysroot.qemu), "-cpu", cpu.model, "-L", str(sysroot.root)),
        # Nothing of this machine's Python, its variables or its packages may come in.
        *(str(sysroot.python), "-I", "-S", str(Path(worker.__file__).absolute())),
        *(str(sysroot.site), ",".join(cpu.hidden)),
        *((str(program.absolute()), ",".join(map(str, sizes))) if program else ()),
    ]

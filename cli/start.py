"""The entry point: watches signals and prepares the streams before anything else is imported."""

import io
import os
import signal
import sys
from contextlib import suppress

TYPE_CHECKING = False  # as in `typing`, which takes longer to import than all this
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, NoReturn

# What ended the program; Windows has no SIGHUP.
_WORDS = {"SIGINT": "Interrupted", "SIGTERM": "Terminated", "SIGHUP": "Hung up"}
_SIGNALS = {getattr(signal, name): word for name, word in _WORDS.items() if hasattr(signal, name)}
_RAISE_AGAIN_SECONDS = 0.05

_received: list[int] = []


def main() -> "NoReturn":
    """Run `shvit-mobile` and end the process."""
    prepare_process()
    try:
        from .main import app

        app()
    except SystemExit:
        raise
    except BaseException:
        # The libraries turn an interrupted import into an error of their own.
        if not was_interrupted():
            raise
    end(0)


def prepare_process() -> None:
    """Make SIGINT, SIGTERM and SIGHUP raise `KeyboardInterrupt`, and printing never fail; only the first call counts.

    A signal that the caller ignores stays ignored, as nohup asks for.
    """
    if sys.unraisablehook is _raise_again:
        return
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    sys.unraisablehook = _raise_again
    _prepare_streams()


def was_interrupted() -> bool:
    """Return whether one of these signals came: any error since then is its consequence."""
    return bool(_received)


def end(status: int) -> "NoReturn":
    """End the process with a status, or with a line and the status of the signal that came."""
    for watched in _SIGNALS:
        if signal.getsignal(watched) is _interrupt:
            signal.signal(watched, signal.SIG_IGN)
    number = _received[0] if _received else status - 128
    if number in _SIGNALS:
        if "multiprocessing" in sys.modules:
            for child in sys.modules["multiprocessing"].active_children():
                child.kill()
        status = 128 + number
        _write_line(f"{_SIGNALS[signal.Signals(number)]}. No unfinished files were left behind.")
    try:
        sys.stdout.flush()
    except OSError as reason:
        status = status or 2
        _write_line(f"error: standard output: {str(reason.strerror).lower()}.")
    sys.exit(status)


def _interrupt(number: int, frame: "FrameType | None") -> None:
    _received.append(number)
    raise KeyboardInterrupt


def _raise_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """Raise an interruption again a moment later if it came in a destructor or a callback, where Python drops it."""
    if not isinstance(unraisable.exc_value, KeyboardInterrupt) or not hasattr(signal, "pthread_kill"):
        sys.__unraisablehook__(unraisable)
        return

    from threading import Timer, main_thread

    again = Timer(_RAISE_AGAIN_SECONDS, signal.pthread_kill, (main_thread().ident, _received[-1]))
    again.daemon = True
    again.start()


def _prepare_streams() -> None:
    """Escape what the encoding of a stream lacks, and drop what nobody reads any more."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif os.name == "posix":
            output = io.BufferedWriter(_Output(number, "wb", closefd=False))
            by_line = stream.line_buffering
            setattr(sys, name, io.TextIOWrapper(output, stream.encoding, "backslashreplace", line_buffering=by_line))
        else:
            stream.reconfigure(errors="backslashreplace")


class _Output(io.FileIO):
    """A stream whose reader may leave, as `head` does; the command goes on and finishes its work."""

    def write(self, data: "Any") -> int:
        try:
            return super().write(data)
        except OSError as reason:
            _discard(self.fileno())  # the interpreter writes the rest at its end
            if isinstance(reason, BrokenPipeError) or self.fileno() == 2:
                return len(data)
            raise OSError(reason.errno, reason.strerror, "standard output") from None


def _discard(number: int) -> None:
    """Let everything that is written to a stream go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def _write_line(text: str) -> None:
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)

"""Where every error meets the user: what, why and what to type on stderr, and an exit status; no traceback unasked.

Exit status: 0 done, 1 a gate or a check failed, 2 wrong input, 70 a fault of ours, 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from shvit_mobile.errors import ShvitError

GATE_FAILED, INVALID_INPUT, INTERNAL_ERROR, INTERRUPTED = 1, 2, 70, 130
DEBUG_VARIABLE = "SHVIT_DEBUG"
INDENT = " " * len("error: ")

# What the machine says of the user's own paths and disk; any other OSError is a fault of ours.
FILE_ERRNOS = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.EMFILE,
}


class ErrorReportingGroup(TyperGroup):
    """A group of commands whose errors are told in the project's own form, those of the argument parser too."""

    def main(self, *args: Any, **extra: Any) -> Any:
        try:
            status = super().main(*args, **{**extra, "standalone_mode": False})
        except Exception as reason:
            status = report_error(reason)
        if status == INTERRUPTED:
            print_error("Interrupted. Nothing unfinished was left behind.")
        sys.exit(status if isinstance(status, int) else 0)


def report_error(reason: Exception) -> int:
    """Prints what went wrong and returns the exit status."""
    if os.environ.get(DEBUG_VARIABLE):
        print_error(traceback.format_exc())
    match reason:
        case ShvitError():
            print_error(format_error(reason))
        case OSError() if reason.errno in FILE_ERRNOS:
            print_error(format_error(ShvitError(f"{reason.filename or 'A file'}: {str(reason.strerror).lower()}.")))
        case typer.Abort():
            print_error(format_error(ShvitError("The input ended early.")))
        case _ if hasattr(reason, "format_message"):
            print_error(format_error(convert_usage_error(reason)))
        case _:
            print_error(format_error(convert_unexpected_error(reason)))
            return INTERNAL_ERROR
    return INVALID_INPUT


def format_error(error: ShvitError) -> str:
    """The three parts: what on the first line, why and the hint on the second."""
    more = " ".join(part for part in (error.why, error.hint) if part)
    lines = [f"error: {error.what}", *([INDENT + more] if more else [])]
    return escape_unprintable("\n".join(lines))


def convert_usage_error(reason: Any) -> ShvitError:
    """What the argument parser found, as one of our errors."""
    context = getattr(reason, "ctx", None)
    message = str(reason.format_message()).strip()
    hint = f"Try: {context.command_path} --help" if context else ""
    return ShvitError(message if message.endswith((".", "?", ")")) else f"{message}.", hint=hint)


def convert_unexpected_error(reason: Exception) -> ShvitError:
    said = str(reason).strip().partition("\n")[0]
    return ShvitError(
        f"shvit-mobile failed: {type(reason).__name__}{f': {said}' if said else ''}",
        why="This is a fault of shvit-mobile, not of your input; please report it.",
        hint="" if os.environ.get(DEBUG_VARIABLE) else f"For the traceback, run it again with {DEBUG_VARIABLE}=1.",
    )


def escape_unprintable(message: str) -> str:
    """`message` without characters that a terminal would obey: names come out of files that anyone may have made."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in message)


def print_error(message: str) -> None:
    typer.echo(message, err=True)

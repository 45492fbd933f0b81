"""Prints every error as what, why and what to do next on stderr, and ends with an exit status; no traceback by default.

Exit status: 0 success, 1 a gate or a check failed, 2 invalid input, 70 a bug; 128 and its number after a signal.
"""

import ast
import os
import re
import shlex
import traceback
from collections.abc import Iterable
from typing import Any

import typer
from typer.core import TyperGroup

from shvit_mobile.errors import BaselineFailed, ShvitError, UnknownChoice

from .start import end, prepare_process, was_interrupted

GATE_FAILED, INVALID_INPUT, INTERNAL_ERROR = 1, 2, 70
DEBUG_VARIABLE = "SHVIT_DEBUG"
_INDENT = " " * len("error: ")

# How torch and its allocator say that the memory does not suffice.
_OUT_OF_MEMORY = re.compile(r"not enough memory|can't allocate memory|bad_alloc|out of memory", re.IGNORECASE)
# The library's parameters whose options have another name: the first that the running command has.
_OPTION_NAMES = {
    "precision": ("quantize",),
    "precisions": ("quantize",),
    "targets": ("target",),
    "delegates": ("delegate",),
    "platforms": ("platform",),
    "variant": ("model",),
    "crop_ratio": ("crop",),
    "resize_mode": ("resize",),
    "input": ("input_kind",),
    "classifier": ("no_classifier",),
    "dynamic_batch": ("static_batch",),
    "cpus": ("cpu",),
    "passes": ("step", "steps"),
    "balanced": ("sampling",),
    "images": ("validate", "calibration"),
    "calibration": ("images",),
    "calibration_count": ("count",),
    "validation": ("validate", "images"),
    "validation_count": ("validate_count", "count"),
    "validation_seed": ("seed",),
    "min_delegated": ("require_delegated",),
    "engines": ("engine",),
    "roofline": ("roofs",),
    "app": ("into",),
    "sustained_s": ("sustained",),
}
# Shares of 0 to 1 in the library, percent on the command line.
_PERCENT_PARAMETERS = ("min_agreement", "min_top1", "min_box_agreement", "require_delegated", "min_delegated")
_PARAMETER = re.compile(r"([a-z][a-z0-9_]*)(?:=(.+))?", re.DOTALL)
_NOT_A_CHOICE = re.compile(r"'([^']*)' is not (?:one of )?('.*')\.")
# What the choices of an option are called, where its name does not say it.
_CHOICE_KINDS = {
    "quantize": "precision",
    "activations": "activation scheme",
    "step": "PTQ pass",
    "passes": "PTQ pass",
    "steps": "PTQ pass",
    "input_kind": "input kind",
    "layout": "attention layout",
    "head": "head precision",
    "float_dtype": "dtype",
    "sampling": "sampling method",
    "arch": "architecture",
    "cpu": "CPU",
    "on_device": "device",
    "compute": "set of compute units",
    "install": "optional part",
}


class ErrorReportingGroup(TyperGroup):
    """A group of commands that prints all errors in this project's form, those of the argument parser too."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ShvitError as error:
            command = self.commands.get(ctx.invoked_subcommand or "")
            replace_parameters(error, command.params if command else ())
            raise

    def main(self, *args: Any, **extra: Any) -> Any:
        if extra.get("args") is None and not args:  # the program itself, and not a test in another
            prepare_process()
        try:
            status = super().main(*args, **{**extra, "standalone_mode": False})
        except Exception as reason:
            status = 0 if was_interrupted() else _report_error(reason)
        end(status if isinstance(status, int) else 0)


def replace_parameters(error: ShvitError, options: Iterable[Any]) -> None:
    """Replace the library's parameters in an error's texts with the options of the command that ran.

    A text names a parameter in backticks: `overwrite=True` becomes --overwrite, `max_drop=0.5` becomes --max-drop 0.5.
    What the command does not have only loses its backticks.

    Args:
        error: The error; its texts change.
        options: The parameters of the command, as Click holds them.
    """
    known = {option.name: option for option in options}

    def replace(match: re.Match[str]) -> str:
        parsed = _PARAMETER.fullmatch(match[1])
        names = (parsed[1], *_OPTION_NAMES.get(parsed[1], ())) if parsed else ()
        option = next((known[name] for name in names if name in known), None)
        return _format_option(option, names[0], parsed[2]) if parsed and option else match[1]

    for part in ("what", "why", "hint"):
        setattr(error, part, re.sub(r"`([^`]+)`", replace, getattr(error, part)))


def _format_option(option: Any, parameter: str, value: str | None) -> str:
    """Return what to type for a parameter of the library, with its value in Python if there is one."""
    if option.param_type_name == "argument":
        return _format_value(parameter, value) if value else str(option.metavar or option.name.upper()).strip("[]")
    flag = max(option.opts, key=len)
    if parameter == "balanced":
        return flag if value is None else f"{flag} {'balanced' if value == 'True' else 'random'}"
    if value is None or (option.is_flag and (value == "True" or parameter in ("classifier", "dynamic_batch"))):
        return flag
    if option.is_flag:
        return max(option.secondary_opts, key=len, default=flag)
    return f"{flag} {_format_value(parameter, value)}"


def _format_value(parameter: str, text: str) -> str:
    """Return a value in Python as it is typed after an option."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if isinstance(value, tuple):
        return ("x" if parameter == "size" else " ").join(map(str, value))
    if parameter in _PERCENT_PARAMETERS and isinstance(value, int | float):
        return f"{100 * value:g}"
    # Names in capitals stand for something that the user knows: DIR, FILE.
    return shlex.quote(str(value))


def _report_error(reason: Exception) -> int:
    """Print what went wrong and return the exit status."""
    if os.environ.get(DEBUG_VARIABLE):
        _print_error(traceback.format_exc())
    match reason:
        case ShvitError():
            _print_error(format_error(reason))
            return GATE_FAILED if isinstance(reason, BaselineFailed) else INVALID_INPUT
        case ModuleNotFoundError() if (missing := _find_missing_library(reason)) is not None:
            _print_error(format_error(missing))
        case OSError():
            said = str(reason.strerror or reason or type(reason).__name__)
            name = "The system reports" if reason.filename is None else os.fsdecode(str(reason.filename))
            _print_error(format_error(ShvitError(f"{name}: {said[:1].lower()}{said[1:]}.")))
        case MemoryError() | RuntimeError() if isinstance(reason, MemoryError) or _OUT_OF_MEMORY.search(str(reason)):
            why = "The model, its size or a file is too large for this machine."
            _print_error(format_error(ShvitError("The memory does not suffice.", why=why)))
        case UnicodeEncodeError():
            hint = f"Rename it: {ascii(reason.object)[:200]}"
            _print_error(format_error(ShvitError("A name is not UTF-8 text.", hint=hint)))
        case RecursionError():
            _print_error(format_error(ShvitError("A file is nested too deeply.", why="It may be damaged.")))
        case typer.Abort():
            _print_error(format_error(ShvitError("The input ended early.")))
        case _ if hasattr(reason, "format_message"):
            _print_error(format_error(convert_usage_error(reason)))
        case _:
            _print_error(format_error(_convert_unexpected_error(reason)))
            return INTERNAL_ERROR
    return INVALID_INPUT


def _find_missing_library(reason: ModuleNotFoundError) -> ShvitError | None:
    """Return the error for a library that not every installation has; None for any other module."""
    from shvit_mobile.quiet import REQUIREMENTS, build_missing_error

    library = (reason.name or "").partition(".")[0]
    return build_missing_error(library, "This command needs it.") if library in REQUIREMENTS else None


def format_error(error: ShvitError) -> str:
    """Return the three parts: what on the first line, why and the hint on the second."""
    more = " ".join(part for part in (error.why, error.hint) if part)
    lines = [f"error: {error.what}", *([_INDENT + more] if more else [])]
    return escape_unprintable("\n".join(lines))


def convert_usage_error(reason: Any) -> ShvitError:
    """Return an error of the argument parser in this project's form."""
    message = str(reason.format_message()).strip().replace("Value error, ", "")
    name = getattr(getattr(reason, "param", None), "name", "") or ""
    if name and (choice := _NOT_A_CHOICE.search(message)):
        kind = _CHOICE_KINDS.get(name, name.replace("_", " "))
        return UnknownChoice(choice[1], re.findall(r"'([^']*)'", choice[2]), kind)
    context = getattr(reason, "ctx", None)
    hint = f"Try: {context.command_path} --help" if context else ""
    return ShvitError(message if message.endswith((".", "?", ")")) else f"{message}.", hint=hint)


def _convert_unexpected_error(reason: Exception) -> ShvitError:
    first_line = str(reason).strip().partition("\n")[0]
    return ShvitError(
        f"shvit-mobile failed: {type(reason).__name__}{f': {first_line}' if first_line else ''}",
        why="This is a bug in shvit-mobile, not a mistake in your input; please report it.",
        hint="" if os.environ.get(DEBUG_VARIABLE) else f"For the traceback, run it again with {DEBUG_VARIABLE}=1.",
    )


def escape_unprintable(message: str) -> str:
    """Return `message` without characters that a terminal would obey: names come from files that anyone may write."""
    # No terminal obeys the space that separates thousands, which Python does not call printable.
    kept = "\n\N{NARROW NO-BREAK SPACE}"
    return "".join(c if c.isprintable() or c in kept else ascii(c)[1:-1] for c in message)


def _print_error(message: str) -> None:
    typer.echo(message, err=True)

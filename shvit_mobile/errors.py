"""The errors that a caller can fix; each says what is wrong, what was expected, and what to do next.

A text names parameters of the library in backticks, with a value where one is meant: `precision`, `overwrite=True`. The
command line replaces them with the flags of the command that ran.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Literal, TypeVar

Choice = TypeVar("Choice", bound=str)


class ShvitError(Exception):
    """The base of every error that the caller can fix; the command line prints it and exits with status 2.

    Attributes:
        what: What is wrong, with the value.
        why: Why it matters, or what was expected.
        hint: What to do next; may be empty.
        parameter: The name of the parameter at fault, where there is one.
    """

    def __init__(self, what: str, *, why: str = "", hint: str = "", parameter: str | None = None) -> None:
        self.what, self.why, self.hint, self.parameter = what, why, hint, parameter
        super().__init__("\n".join(part for part in (what, why, hint) if part))


class UnknownChoice(ShvitError):
    """A name that is not in a closed list.

    Attributes:
        kind: What the name should be: "target", "precision".
        value: The name that was given.
        choices: The names that are allowed.
    """

    def __init__(self, value: str, choices: Iterable[str], kind: str) -> None:
        self.kind, self.value, self.choices = kind, value, tuple(choices)
        near = get_close_matches(value, self.choices, n=1, cutoff=0.5)
        super().__init__(
            f"'{value}' is not {'an' if kind[0] in 'aeiou' else 'a'} {kind}.",
            why=f"{kind[0].upper()}{kind[1:]}{'es' if kind.endswith('s') else 's'}: {', '.join(self.choices)}.",
            hint=f"Did you mean {near[0]}?" if near else "",
            parameter=kind,
        )


def parse_choice(value: str, choices: Iterable[Choice], kind: str) -> Choice:
    """Return the one of `choices` that `value` names.

    Args:
        value: The name as it was given.
        choices: The names that are allowed.
        kind: What the name should be, for the error: "target".

    Raises:
        UnknownChoice: If `value` names none of them.
    """
    known = tuple(choices)
    for choice in known:
        if value == choice:
            return choice
    raise UnknownChoice(value, known, kind)


class InvalidConfig(ShvitError):
    """A configuration that makes no sense; its subclasses tell the cases apart."""


class InvalidValue(InvalidConfig):
    """A parameter whose value is out of range or of the wrong form."""


class MissingParameter(InvalidConfig):
    """A parameter without which the others mean nothing."""


class ConflictingParameters(InvalidConfig):
    """Parameters that exclude each other."""


class NotSupported(InvalidConfig):
    """Something that this target, runtime or machine does not do."""


class BadCheckpoint(ShvitError):
    """A checkpoint that cannot be read, is of no known model, or does not fit."""


class HubUnavailable(ShvitError):
    """A model that had to be downloaded and could not be."""


class BadImages(ShvitError):
    """A folder, CSV file or image that cannot serve."""


class BadRecipe(ShvitError):
    """A recipe that cannot be read, or that does not fit the model or the target."""


class BaselineFailed(ShvitError):
    """A float model that does not recognize the labelled images, so that no comparison with it means anything."""


class BudgetMissed(ShvitError):
    """A drift budget that no recipe holds."""


class BadArtifact(ShvitError):
    """An artifact or its manifest that is missing, damaged, of another version or not what its manifest says."""


class BadApp(ShvitError):
    """An app's source tree that is none, links another ExecuTorch, or whose record of embedded models is damaged."""


class BadReport(ShvitError):
    """A device report that cannot be read, or of another version."""


class BenchmarkFailed(ShvitError):
    """A contestant that did not load, failed, or died."""


PhoneFault = Literal[
    "no_phone",
    "several_phones",
    "unknown_phone",
    "unauthorized",
    "offline",
    "no_permissions",
    "not_ready",
    "developer_mode",
    "locked",
    "build",
    "signing",
    "install",
    "no_space",
    "signature",
    "untrusted",
    "start",
    "crash",
    "timeout",
    "not_measured",
    "low_power",
    "too_warm",
    "no_report",
    "other_run",
    "disconnected",
    "no_answer",
    "tool",
]


class PhoneFailed(ShvitError):
    """A phone that cannot be reached or used, or an app that was not built, not installed, or measured nothing.

    Attributes:
        fault: What went wrong.
    """

    def __init__(
        self, what: str, *, fault: PhoneFault, why: str = "", hint: str = "", parameter: str | None = None
    ) -> None:
        self.fault = fault
        super().__init__(what, why=why, hint=hint, parameter=parameter)


class UnsupportedOperator(BadArtifact):
    """Operators that the reference executor does not know."""


class ShapeMismatch(ShvitError):
    """Two things that should have had the same shape."""


class VerificationFailed(ShvitError):
    """An exact rewrite whose result is not equal to what it was made from."""


class OutputExists(ShvitError):
    """Something is already where an output should go."""


class UnwritableOutput(ShvitError):
    """A place where an output cannot be written: a full disk, a folder without permission, a path through a file."""


class ToolMissing(ShvitError):
    """A library or program that this job needs and this machine lacks."""


def get_first_line(reason: Exception) -> str:
    """Return the first line of an error's message without a full stop, or the error's type if it has no message."""
    return str(reason).strip().partition("\n")[0].removesuffix(".") or type(reason).__name__


def parse_image_size(text: str, name: str, example: str | None = None) -> tuple[int, int]:
    """Return (height, width) of "224" or "192x160".

    Args:
        text: What a user typed.
        name: How the caller calls it: an option, or a field of a file.
        example: What to type instead; without, the option with a size.

    Raises:
        InvalidValue: If the text is no size.
    """
    match = re.fullmatch(r"(\d{1,5})(?:[xX×](\d{1,5}))?", text.strip(), re.ASCII)
    height, width = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not (height and width):
        raise InvalidValue(
            f"{name} is '{text}'.",
            why="It is a number of pixels, or height x width.",
            hint=f"Try: {example or f'{name} 192x160'}",
        )
    return height, width

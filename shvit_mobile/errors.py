"""What a person can get wrong, each told in three parts: what is wrong, why that matters, the next thing to type."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Self, TypeVar

Choice = TypeVar("Choice", bound=str)


class ShvitError(Exception):
    """The base of every error that the user can mend; the command line prints it and exits with status 2.

    Attributes:
        what: what is wrong, with the value.
        why: why it matters, or what was expected.
        hint: the next thing to type; may be empty.
    """

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        self.what, self.why, self.hint = what, why, hint
        super().__init__("\n".join(part for part in (what, why, hint) if part))


class UnknownChoice(ShvitError):
    """A name that is not in a closed list."""

    kind = "choice"

    @classmethod
    def from_choices(cls, given: str, choices: Iterable[str]) -> Self:
        """The error for `given`, which should have been one of `choices`; names the nearest."""
        known = list(choices)
        near = get_close_matches(given, known, n=1, cutoff=0.5)
        return cls(
            f"'{given}' is not {'an' if cls.kind[0] in 'aeiou' else 'a'} {cls.kind}.",
            why=f"{cls.kind[0].upper()}{cls.kind[1:]}s: {', '.join(known)}.",
            hint=f"Did you mean {near[0]}?" if near else "",
        )

    @classmethod
    def parse_choice(cls, given: str, choices: Iterable[Choice]) -> Choice:
        """The one of `choices` that `given` names.

        Raises:
            cls: it names none.
        """
        known = list(choices)
        for choice in known:
            if given == choice:
                return choice
        raise cls.from_choices(given, known)


class UnknownVariant(UnknownChoice):
    kind = "variant"


class UnknownTarget(UnknownChoice):
    kind = "target"


class UnknownPrecision(UnknownChoice):
    kind = "precision"


class UnknownEngine(UnknownChoice):
    kind = "engine"


class UnknownArchitecture(UnknownChoice):
    kind = "architecture"


class UnknownCPU(UnknownChoice):
    kind = "CPU"


class WrongConfig(ShvitError):
    """Numbers that do not make a model, or options that exclude each other."""


class BadCheckpoint(ShvitError):
    """A checkpoint that cannot be read, is not a SHViT's, or does not fit."""


class HubUnavailable(ShvitError):
    """A model that had to be downloaded and could not be."""


class BadImages(ShvitError):
    """A folder, CSV file or image that cannot serve."""


class BadRecipe(ShvitError):
    """A recipe that cannot be read, or that does not fit the model or the target."""


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


class UnsupportedOperator(BadArtifact):
    """Operators that the reference executor does not know."""


class ShapeMismatch(ShvitError):
    """Two things that should have had the same shape."""


class VerificationFailed(ShvitError):
    """An exact rewrite whose result is not equal to what it was made from."""


class OutputExists(ShvitError):
    """Something is already where an output should go."""


class ToolMissing(ShvitError):
    """A library or program that this job needs and this machine lacks."""

"""What every JSON contract of the project has in common: frozen, stable as text, and open to what a later version adds.

A contract that is a file of its own is a `Document`: it carries a version, and has a JSON Schema in `schemas/` that the
phone apps read too. A file of a newer major version is refused; one of a newer minor version may hold fields that are
unknown here, which are kept. Any other unknown field is a mistake.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import ShvitError

SCHEMA_VERSION = "1.0"
DAMAGED_REASON = "It may be damaged or hand-made."
# JSON has no number for them, so they are texts there.
NON_FINITE_TEXTS = ("Infinity", "-Infinity", "NaN")
JsonFloat = Annotated[float, WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": list(NON_FINITE_TEXTS)}]})]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Milliseconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Proportion = Annotated[float, Field(ge=0, le=1)]


class Contract(BaseModel):
    """Frozen, and written as indented JSON with a newline at its end."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=True, ser_json_inf_nan="strings")

    def to_json(self) -> str:
        """The JSON that `parse` takes back."""
        return self.model_dump_json(indent=1) + "\n"

    @classmethod
    def read_file(cls, path: AnyPath, error: type[ShvitError], kind: str) -> Self:
        """The contract in a JSON file.

        Args:
            path: the file.
            error: the class of the error to raise.
            kind: what the file should be, with its article ("a recipe"), for the error's words.

        Raises:
            error: the file cannot be read, is not JSON, or does not hold the fields; names the first that is wrong. Of
                a document also: it is of a newer major version, or its schema refuses it.
        """
        try:
            text = Path(path).read_text()
        except OSError as reason:
            raise error(f"{path} cannot be read: {reason.strerror}.", why=f"It should be {kind}.") from None
        except UnicodeDecodeError:
            raise error(f"{path} is not {kind}: it is not text.", why="It should be JSON.") from None
        return cls.parse_json(text, str(path), error, kind)

    @classmethod
    def parse_json(cls, text: str, source: str, error: type[ShvitError], kind: str) -> Self:
        """As `parse`, of text that came from `source`."""
        return cls._validate(text, source, error, kind, extra="forbid")

    @classmethod
    def _validate(
        cls, text: str, source: str, error: type[ShvitError], kind: str, *, extra: Literal["allow", "forbid"]
    ) -> Self:
        try:
            return cls.model_validate_json(text, extra=extra)
        except ValidationError as reason:
            first = reason.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the file"
            raise error(f"{source} is not {kind}: {place}: {first['msg']}.", why=DAMAGED_REASON) from None


class Document(Contract):
    """A contract that is a file.

    Attributes:
        NAME: of its schema, `schemas/NAME.schema.json`.
        schema_version: MAJOR.MINOR.
    """

    NAME: ClassVar[str]

    schema_version: Annotated[str, Field(pattern=r"^\d+\.\d+$")] = SCHEMA_VERSION

    def to_json(self) -> str:
        """The JSON that `parse` takes back.

        Raises:
            ValueError: the document was put together so that its own schema refuses it.
        """
        text = super().to_json()
        if (wrong := find_schema_violation(self.NAME, json.loads(text))) is not None:
            raise ValueError(f"this {self.NAME} is not of its schema: {wrong}")
        return text

    @classmethod
    def parse_json(cls, text: str, source: str, error: type[ShvitError], kind: str) -> Self:
        ours = parse_version(SCHEMA_VERSION)
        its = read_schema_version(text) or ours
        if its[0] > ours[0]:
            raise error(
                f"{source} is {kind} of version {its[0]}.{its[1]}.",
                why=f"This shvit-mobile reads version {ours[0]}, whatever its minor number.",
                hint="Update: pip install --upgrade shvit-mobile",
            )
        document = cls._validate(text, source, error, kind, extra="allow" if its > ours else "forbid")
        if (wrong := find_schema_violation(cls.NAME, json.loads(text))) is not None:
            raise error(f"{source} is not {kind}: {wrong}.", why=DAMAGED_REASON)
        return document


def read_schema_version(text: str) -> tuple[int, int] | None:
    """(major, minor) of a JSON document; None where it is not JSON or tells no version."""
    try:
        return parse_version(json.loads(text)["schema_version"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def parse_version(version: str) -> tuple[int, int]:
    """The numbers of "1.0"."""
    major, minor = version.split(".")
    return int(major), int(minor)


def find_schema_violation(name: str, value: Any) -> str | None:
    """What a schema has against plain JSON values, with the place; None where it has nothing."""
    from jsonschema.exceptions import best_match

    found = best_match(load_schema_validator(name).iter_errors(value))
    return found and f"{'.'.join(map(str, found.absolute_path)) or 'the file'}: {found.message[:200]}"


@cache
def load_schema_validator(name: str) -> Any:
    from jsonschema import Draft202012Validator

    text = (files("shvit_mobile.schemas") / f"{name}.schema.json").read_text()
    return Draft202012Validator(json.loads(text))

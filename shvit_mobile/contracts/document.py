"""The base of every JSON contract: frozen, strict, stable as text, and open to fields of later versions.

A contract that is a file of its own is a `JsonFile`; a versioned one is a `Document`, with a JSON Schema in `schemas/`
that the phone apps follow too. A file of a newer major version is rejected. A file of a newer minor version may contain
fields that are unknown here; they are kept. Any other unknown field is an error.

The last field of a document, `content_sha256`, is the SHA-256 of all its other fields, so that a changed or damaged
file is noticed. It is computed over canonical JSON: keys sorted, no spaces, everything beyond ASCII escaped, numbers in
their shortest form, as Python's `json.dumps(value, sort_keys=True, separators=(",", ":"))` writes it. Documents of
earlier versions and of the phone apps have none. It belongs to the file, and loaded documents do not hold it.
"""

import hashlib
import json
import math
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic_core import PydanticSerializationError, to_json

from shvit_mobile.contracts.files import read_text
from shvit_mobile.contracts.outputs import write_atomically
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import ShvitError

# The version of a document whose class states no later one.
SCHEMA_VERSION = "1.0"
SchemaVersion = Annotated[str, Field(pattern=r"^[1-9][0-9]*\.(0|[1-9][0-9]*)$")]
CHECKSUM_FIELD = "content_sha256"
_DAMAGED_REASON = "The file may be damaged or edited by hand."
# JSON has no numbers for these values, so they are strings.
_NON_FINITE_TEXTS = ("Infinity", "-Infinity")


def _parse_non_finite(value: Any) -> Any:
    return float(value) if isinstance(value, str) and value in _NON_FINITE_TEXTS else value


def _check_plain_name(name: str) -> str:
    if name in ("", ".", "..") or not (PurePosixPath(name).name == PureWindowsPath(name).name == name):
        raise ValueError(f"'{name[:80]}' is no plain file name: it would lead out of the folder")
    return name


def _check_number(value: float) -> float:
    if math.isnan(value):
        raise ValueError("it is not a number")
    return value


JsonFloat = Annotated[
    float,
    Field(allow_inf_nan=True),
    BeforeValidator(_parse_non_finite),
    AfterValidator(_check_number),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": list(_NON_FINITE_TEXTS)}]}),
]
FileName = Annotated[str, AfterValidator(_check_plain_name)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Milliseconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Proportion = Annotated[float, Field(ge=0, le=1)]


class Contract(BaseModel):
    """A frozen value that is written as indented JSON with a newline at the end.

    Numbers are finite, except for those of the type `JsonFloat`.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False, ser_json_inf_nan="strings")

    def to_json(self) -> str:
        """Return the contract as JSON text; the bytes of a file name that are not UTF-8 are escaped."""
        try:
            return self.model_dump_json(indent=1) + "\n"
        except PydanticSerializationError:
            value = _escape_surrogates(self.model_dump())
            return to_json(value, indent=1, inf_nan_mode="strings").decode() + "\n"


def _escape_surrogates(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {_escape_surrogates(key): _escape_surrogates(member) for key, member in value.items()}
        case list() | tuple():
            return [_escape_surrogates(member) for member in value]
    return value


class JsonFile(Contract):
    """A contract that is a file of its own.

    Attributes:
        ERROR: The class of the errors about such a file.
        TITLE: What errors call such a file, with its article: "a recipe".
    """

    ERROR: ClassVar[type[ShvitError]]
    TITLE: ClassVar[str]

    @classmethod
    def load(cls, path: AnyPath) -> Self:
        """Load a JSON file.

        Raises:
            ERROR: If the file cannot be read, is not JSON, has a missing, wrong or unknown field (the error names the
                first), or is a document of a newer major version.
        """
        return cls.parse(read_text(path, error=cls.ERROR, what=cls.TITLE), str(path))

    @classmethod
    def parse(cls, text: str, source: str) -> Self:
        """Parse JSON text that came from `source`, with the errors of `load`."""
        return cls._validate(text, source, extra="forbid")

    def save(self, path: AnyPath, *, overwrite: bool = False) -> None:
        """Write the JSON file, whole or not at all; its folder is created.

        Raises:
            OutputExists: If `path` exists and `overwrite` is not set, or is not a file.
            ValueError: If `load` would reject the file.
        """
        text = self.to_json()
        with write_atomically(Path(path), overwrite=overwrite) as (part,):
            part.write_text(text, encoding="utf-8")

    @classmethod
    def _validate(cls, text: str, source: str, *, extra: Literal["allow", "forbid"]) -> Self:
        try:
            return cls.model_validate_json(text, strict=True, extra=extra)
        except ValidationError as reason:
            first = reason.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the file"
            message = first["msg"].removeprefix("Value error, ")
            raise cls.ERROR(f"{source} is not {cls.TITLE}: {place}: {message}.", why=_DAMAGED_REASON) from None
        except ShvitError as reason:  # of a dataclass in the file
            raise cls.ERROR(f"{source} is not {cls.TITLE}: {reason.what}", why=_DAMAGED_REASON) from None


class Document(JsonFile):
    """A versioned file.

    Attributes:
        NAME: The name of its schema: `schemas/NAME.schema.json`.
        HAS_CHECKSUM: Whether its file has `content_sha256`.
        schema_version: MAJOR.MINOR. A class whose fields changed since 1.0 has a default of its own.
    """

    NAME: ClassVar[str]
    HAS_CHECKSUM: ClassVar[bool] = True

    schema_version: SchemaVersion = SCHEMA_VERSION

    @classmethod
    def get_version(cls) -> str:
        """Return the version that this program writes."""
        return str(cls.model_fields["schema_version"].default)

    def to_json(self) -> str:
        """Return the document as JSON text, with its checksum.

        Raises:
            ValueError: If a field has a value that `load` rejects.
        """
        text = super().to_json()
        self.model_validate_json(text, strict=True)
        if not self.HAS_CHECKSUM:
            return text
        checksum = compute_content_sha256(json.loads(text))
        fields = text.removesuffix("\n}\n")
        return f'{fields},\n "{CHECKSUM_FIELD}": "{checksum}"\n}}\n'

    @classmethod
    def parse(cls, text: str, source: str) -> Self:
        """Parse JSON text that came from `source`, with the errors of `load`."""
        known = parse_version(cls.get_version())
        value = _parse_object(text)
        version = _read_schema_version(value) or known
        if version[0] > known[0]:
            raise cls.ERROR(
                f"{source} is {cls.TITLE} of version {version[0]}.{version[1]}.",
                why=f"This shvit-mobile reads version {known[0]}, with any minor number.",
                hint="Update: pip install --upgrade shvit-mobile",
            )
        checksum = value.pop(CHECKSUM_FIELD, None) if cls.HAS_CHECKSUM else None
        if checksum is not None:
            text = json.dumps(value)
        document = cls._validate(text, source, extra="allow" if version > known else "forbid")
        # Python code may leave them out, a file may not.
        for field in ("schema_version", "kind"):
            if field not in document.model_fields_set:
                raise cls.ERROR(f"{source} is not {cls.TITLE}: {field}: Field required.", why=_DAMAGED_REASON)
        if checksum not in (None, compute_content_sha256(value)):
            raise cls.ERROR(
                f"{source} is not what was written: {CHECKSUM_FIELD}: it is not the SHA-256 of the other fields.",
                why=_DAMAGED_REASON,
                hint=f"Make it again. If you changed it on purpose, delete the field {CHECKSUM_FIELD}.",
            )
        return document


def has_checksum(text: str) -> bool:
    """Return whether the JSON text of a document has a checksum; an earlier version, or an app, writes none."""
    return CHECKSUM_FIELD in _parse_object(text)


def compute_content_sha256(value: dict[str, Any]) -> str:
    """Compute the checksum of the fields of a document."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _parse_object(text: str) -> dict[str, Any]:
    """Return the fields of a JSON object; none if it is not one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _read_schema_version(value: dict[str, Any]) -> tuple[int, int] | None:
    """Return (major, minor) of a document, or None if it states none."""
    try:
        return parse_version(value["schema_version"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def parse_version(version: str) -> tuple[int, int]:
    """Return the numbers of a version such as "1.0"; of thousands of digits, which Python rejects, the first nine."""
    major, minor = version.split(".")
    return int(major[:9]), int(minor[:9])

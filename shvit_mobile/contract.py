"""What every JSON contract of the project has in common: frozen, strict about unknown fields, stable as text."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from shvit_mobile.errors import ShvitError


class Contract(BaseModel):
    """Frozen, strict, and written as indented JSON with a newline at its end."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=True, ser_json_inf_nan="strings")

    def json_text(self) -> str:
        """The JSON that `parse` takes back."""
        return self.model_dump_json(indent=1) + "\n"

    @classmethod
    def parse(cls, path: Path, error: type[ShvitError], kind: str) -> Self:
        """The contract in a JSON file.

        Args:
            path: the file.
            error: the class of the error to raise.
            kind: what the file should be, with its article ("a recipe"), for the error's words.

        Raises:
            error: the file cannot be read, is not JSON, or does not hold the fields; names the first that is wrong.
        """
        try:
            return cls.model_validate_json(path.read_text())
        except OSError as reason:
            raise error(f"{path} cannot be read: {reason.strerror}.", why=f"It should be {kind}.") from None
        except UnicodeDecodeError:
            raise error(f"{path} is not {kind}: it is not text.", why="It should be JSON.") from None
        except ValidationError as reason:
            first = reason.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the file"
            raise error(
                f"{path} is not {kind}: {place}: {first['msg']}.", why="It may be damaged or hand-made."
            ) from None

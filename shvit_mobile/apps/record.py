"""Records which models were embedded into an app, so that they can be removed again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from shvit_mobile.contracts.document import Contract, Count, JsonFile, Sha256
from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.errors import BadApp

RECORD_NAME = "embedded.json"


class EmbeddedModel(Contract):
    """An embedded artifact.

    Attributes:
        name: The name of its folder.
        artifact: The name of its file.
        created: When it was embedded, in ISO 8601 with the offset from UTC.
        size_bytes: The size of all its files.
        files: The SHA-256 of each file, by its path in the folder, with slashes.
    """

    name: Annotated[str, Field(pattern=r"^[^/\\.][^/\\]*$")]
    artifact: str
    created: str
    size_bytes: Count
    files: dict[str, Sha256]


class EmbedRecord(JsonFile):
    """All embedded artifacts of an app.

    Attributes:
        made: The number of folders that were created for the models: their own and its parents.
        models: The artifacts, in the order in which they were embedded.
    """

    ERROR = BadApp
    TITLE = "a record of what was embedded"

    made: Count = 0
    models: tuple[EmbeddedModel, ...] = ()

    @classmethod
    def read(cls, models: Path) -> EmbedRecord:
        """Read the record in a folder of models; return an empty one if there is none.

        Raises:
            BadApp: If it cannot be read.
        """
        path = models / RECORD_NAME
        return cls.load(path) if path.exists() else cls()

    def find_model(self, name: str) -> EmbeddedModel | None:
        return next((model for model in self.models if model.name == name), None)

    def drop_models(self, names: set[str]) -> EmbedRecord:
        return self.model_copy(update={"models": tuple(model for model in self.models if model.name not in names)})


def hash_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file under a folder, by its path in the folder, with slashes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return {path.relative_to(folder).as_posix(): compute_sha256(path) for path in files}


def find_changed_files(folder: Path, model: EmbeddedModel) -> tuple[list[str], list[str]]:
    """Return the files that changed and the files that were added since the model was embedded."""
    current = hash_files(folder)
    changed = [name for name, known in model.files.items() if current.get(name, known) != known]
    return changed, [name for name in current if name not in model.files]

"""What `embed` put into an app: a file beside the models, by which it can be taken out again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from shvit_mobile.contracts.document import Contract, Count, JsonFile, Sha256
from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.errors import BadApp

RECORD_NAME = "embedded.json"


class EmbeddedModel(Contract):
    """One artifact.

    Attributes:
        name: of its folder among the models.
        artifact: the name of its file.
        created: when it was embedded, in ISO 8601 with the offset from UTC.
        size_bytes: of all its files.
        files: the SHA-256 of each, by its place in the folder, with slashes.
    """

    name: Annotated[str, Field(pattern=r"^[^/\\.][^/\\]*$")]
    artifact: str
    created: str
    size_bytes: Count
    files: dict[str, Sha256]


class EmbedRecord(JsonFile):
    """All of them.

    Attributes:
        made: how many folders were made to hold the models: the one they lie in, and so many above it less one.
        models: in the order in which they came.
    """

    ERROR = BadApp
    TITLE = "a record of what was embedded"

    made: Count = 0
    models: tuple[EmbeddedModel, ...] = ()

    @classmethod
    def read(cls, models: Path) -> EmbedRecord:
        """The record in a folder of models; an empty one where there is none.

        Raises:
            BadApp: it cannot be read.
        """
        path = models / RECORD_NAME
        return cls.load(path) if path.exists() else cls()

    def find_model(self, name: str) -> EmbeddedModel | None:
        return next((model for model in self.models if model.name == name), None)

    def drop_models(self, names: set[str]) -> EmbedRecord:
        return self.model_copy(update={"models": tuple(model for model in self.models if model.name not in names)})


def hash_files(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file under a folder, by its place in it, with slashes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return {path.relative_to(folder).as_posix(): compute_sha256(path) for path in files}


def find_changed_files(folder: Path, model: EmbeddedModel) -> tuple[list[str], list[str]]:
    """What happened to an embedded model since: files changed, and files added; those that are gone do not count."""
    there = hash_files(folder)
    changed = [name for name, known in model.files.items() if there.get(name, known) != known]
    return changed, [name for name in there if name not in model.files]

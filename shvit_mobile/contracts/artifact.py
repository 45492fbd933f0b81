"""An artifact on disk: a file or package, with its manifest, recipe and goldens beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shvit_mobile.contracts.files import check_file
from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.contracts.manifest import TARGET_SUFFIXES, Manifest, Target
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import BadArtifact, ShvitError

EXPORT_AGAIN_HINT = "Export it again."
MAX_ARTIFACT_BYTES = 2 << 30  # as much as protobuf carries, and more than ten times the largest model


@dataclass(frozen=True)
class Artifact:
    """The path of an artifact, and its manifest."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: AnyPath) -> Artifact:
        """Open the artifact at `path` and check it, and its goldens if they are beside it, against its manifest.

        Raises:
            BadArtifact: If there is no artifact, its manifest is missing or invalid, or the SHA-256 of the artifact or
                of its goldens differs from the manifest.
        """
        path = Path(path)
        check_artifact_name(path, BadArtifact)
        if not path.exists():
            raise BadArtifact(f"{path} does not exist.", hint="Export one first.")
        if path.suffix not in TARGET_SUFFIXES.values():
            raise BadArtifact(
                f"{path} is not an artifact.", why=f"Artifacts end in {', '.join(TARGET_SUFFIXES.values())}."
            )
        if not path.is_dir():
            check_file(path, limit=MAX_ARTIFACT_BYTES, error=BadArtifact, what="an artifact")
        manifest = Manifest.load(get_manifest_path(path))
        actual = compute_sha256(path)
        if actual != manifest.artifact.sha256:
            raise BadArtifact(
                f"{path} is not the file its manifest describes.",
                why=f"Its SHA-256 is {actual[:12]}…, the manifest has {manifest.artifact.sha256[:12]}…: "
                "the artifact was changed or damaged after the export.",
                hint=EXPORT_AGAIN_HINT,
            )
        artifact = cls(path, manifest)
        if get_goldens_path(path).exists():
            artifact.check_goldens()
        return artifact

    def check_goldens(self) -> None:
        """Raise `BadArtifact` if the goldens beside the artifact are missing or differ from its manifest."""
        folder, known = get_goldens_path(self.path), self.manifest.goldens
        if known is None:
            return
        if not folder.is_dir():
            raise BadArtifact(
                f"The goldens of {self.path} are missing.",
                why=f"They should be beside it, in the folder {known.name}.",
                hint="Copy that folder here, or export it again.",
            )
        actual = compute_sha256(folder)
        if actual != known.sha256:
            raise BadArtifact(
                f"{folder} does not contain the goldens its manifest describes.",
                why=f"Their SHA-256 is {actual[:12]}…, the manifest has {known.sha256[:12]}…: a file was "
                "changed, added or deleted after the export.",
                hint=EXPORT_AGAIN_HINT,
            )


def check_artifact_name(path: Path, error: type[ShvitError]) -> None:
    """Raise `error` if a path is not UTF-8: the engines and converters, which are C++, take no other one."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise error(
            f"{path} is not UTF-8.", why="The engines take no other names of artifacts.", hint="Use another name."
        ) from None


def get_manifest_path(artifact: Path) -> Path:
    """Return the path of the manifest of the artifact at `artifact`."""
    return artifact.with_suffix(".manifest.json")


def get_recipe_path(artifact: Path) -> Path:
    """Return the path of the recipe of the artifact at `artifact`."""
    return artifact.with_suffix(".recipe.json")


def get_goldens_path(artifact: Path) -> Path:
    """Return the folder of the goldens of the artifact at `artifact`."""
    return artifact.with_suffix(".goldens")


def list_artifact_files(artifact: Path) -> tuple[Path, Path, Path, Path]:
    """Return what every export writes: the artifact, its recipe, its goldens and, last, its manifest.

    A recipe with parameter overrides also has the file `shvit_mobile.contracts.recipe.get_overrides_path`.
    """
    return artifact, get_recipe_path(artifact), get_goldens_path(artifact), get_manifest_path(artifact)


def format_artifact_name(variant: str, size: tuple[int, int], target: Target, precision: str, suffix: str = "") -> str:
    """Return a name such as `shvit_s1-224-coreml-int8.mlpackage`; other than square sizes are HEIGHTxWIDTH."""
    height, width = size
    shape = f"{height}" if height == width else f"{height}x{width}"
    return f"{variant}-{shape}-{target}-{precision}{suffix}{TARGET_SUFFIXES[target]}"
